#!/usr/bin/env node
/**
 * Makes a component of a plugin in TypeScript or JavaScript: one bundle, left beside the component
 * so that the places in failures can be looked up, and componentize-qjs around it.
 *
 *     offtake-build PLUGIN.ts -o PLUGIN.wasm
 */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { componentize } from "componentize-qjs";
import { bundled, SDK, worldOf } from "./bundle.mjs";
import { halvedContract, widenComponent } from "./widen.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    output: { type: "string", short: "o" },
    wit: { type: "string", default: path.join(SDK, "..", "wit", "transform.wit") },
  },
});
const [entry, ...rest] = positionals;
if (entry === undefined || rest.length > 0) {
  console.error("usage: offtake-build PLUGIN.ts [-o PLUGIN.wasm] [--wit transform.wit]");
  process.exit(2);
}
const output = values.output ?? entry.replace(/\.[cm]?[jt]s$/, "") + ".wasm";
const bundle = output.replace(/\.wasm$/, "") + ".bundle.js";

const world = worldOf(await bundled(entry, bundle));
const folder = await mkdtemp(path.join(tmpdir(), "offtake-build-"));
try {
  const witPath = path.join(folder, "transform.wit");
  await writeFile(witPath, halvedContract(await readFile(values.wit, "utf8")));
  const { component } = await componentize({
    witPath,
    jsSource: await readFile(bundle, "utf8"),
    jsPath: bundle,
    world,
    sync: true,
    stubWasi: true,
  });
  widenComponent(component);
  await writeFile(output, component);
  console.log(`${output}: ${component.length} bytes`);
} finally {
  await rm(folder, { recursive: true });
}

#!/usr/bin/env node
/**
 * Runs the tests of a plugin, or of this SDK, in Node: each FILE.test.ts is bundled, with the
 * gateway's functions doing nothing.
 *
 *     offtake-test FOLDER
 */

import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const sdk = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2] ?? ".";
const tests = (await readdir(folder)).filter((name) => /\.test\.[jt]s$/.test(name));
if (tests.length === 0) {
  console.error(`error: there is no *.test.ts in ${folder}`);
  process.exit(2);
}
const out = await mkdtemp(path.join(tmpdir(), "offtake-test-"));
try {
  await build({
    entryPoints: tests.map((name) => path.join(folder, name)),
    bundle: true,
    outdir: out,
    outExtension: { ".js": ".mjs" },
    platform: "node",
    format: "esm",
    target: "node20",
    alias: {
      "offtake/testing": path.join(sdk, "src", "testing.ts"),
      "offtake": path.join(sdk, "src", "index.ts"),
      "offtake:transform/host@1.0.0": path.join(sdk, "test", "host.ts"),
      "offtake:transform/state@1.0.0": path.join(sdk, "test", "state.ts"),
    },
    logLevel: "warning",
  });
  const bundles = (await readdir(out)).map((name) => path.join(out, name));
  process.exitCode = spawnSync(process.execPath, ["--test", ...bundles], {
    stdio: "inherit",
    env: { ...process.env, OFFTAKE_SDK: sdk },
  }).status;
} finally {
  await rm(out, { recursive: true });
}

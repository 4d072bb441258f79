/**
 * One bundle of a plugin and of what it uses of the SDK, by esbuild, and the world of the contract
 * that it is for: what it does not use, it does not import.
 */

import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const SDK = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const STATE = "offtake:transform/state@";

/** Writes the bundle, and gives esbuild's account of it. */
export async function bundled(entry, outfile) {
  const { metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    outfile,
    format: "esm",
    target: "es2023",
    charset: "utf8",
    external: ["offtake:*"],
    alias: { offtake: path.join(SDK, "src", "index.ts") },
    logLevel: "warning",
    metafile: true,
  });
  return metafile;
}

/** `stateful-transform` where something of the bundle uses the state, otherwise `transform`. */
export function worldOf({ outputs }) {
  const imports = Object.values(outputs).flatMap((output) => output.imports);
  const usesState = imports.some((its) => its.external && its.path.startsWith(STATE));
  return usesState ? "stateful-transform" : "transform";
}

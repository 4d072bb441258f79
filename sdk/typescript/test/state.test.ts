/** The state over the gateway's functions; a plugin without any does not import them. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { Failure, state } from "offtake";
import { forgetState } from "offtake/testing";
import gateway from "offtake:transform/state@1.0.0";

/** Not bundled with the test: it has to find the SDK, and esbuild, from where it is. */
const { bundled, worldOf } = await import(`${process.env["OFFTAKE_SDK"]}/bin/bundle.mjs`);

function calls(context: TestContext): unknown[][] {
  const made: unknown[][] = [];
  for (const name of ["getMany", "putMany", "deleteMany"] as const) {
    const method = gateway[name].bind(gateway) as (...given: unknown[]) => unknown;
    context.mock.method(gateway, name, (...given: unknown[]) => {
      made.push(given);
      return method(...given);
    });
  }
  return made;
}

const A = Uint8Array.of(97);
const E = Uint8Array.of(0xc3, 0xa9);

test("the gateway is given bytes, and seconds as the bindings take them, one call a function", (context) => {
  forgetState();
  const made = calls(context);
  state.putMany(new Map<string | Uint8Array, string>([["é", "a"], [A, "é"]]), 2 ** 32 - 1);
  state.put("a", A);
  assert.deepEqual(state.getMany(new Set(["é", "none"])), [A, undefined]);
  assert.deepEqual(state.get(A), A);
  state.delete("a");
  state.deleteMany(["é"]);
  assert.deepEqual(made, [
    [[[E, A], [A, E]], -1], [[[A, A]], null],
    [[E, Uint8Array.from(Buffer.from("none"))]], [[A]], [[A]], [[E]],
  ]);
  assert.equal(state.get("a"), undefined);
});

test("what the gateway cannot take is refused before it is called", (context) => {
  const made = calls(context);
  const uses = [
    () => state.get(5 as never), () => state.put("a", null as never), () => state.getMany("ab"),
    () => state.deleteMany(A as never), () => state.put("a", "", -1), () => state.put("a", "", 0.5),
    () => state.put("a", "", 2 ** 32), () => state.get("\ud800"),
  ];
  for (const use of uses) assert.throws(use, Failure);
  assert.deepEqual(made, []);
});

test("what was kept is forgotten between tests", () => {
  state.put("a", "1");
  forgetState();
  assert.equal(state.get("a"), undefined);
});

const PLUGINS: [string, string][] = [
  ["transform", 'import { component, Interest } from "offtake"; export const plugin = component;'],
  ["transform", 'import { state } from "offtake"; export const plugin = 1;'],
  ["stateful-transform", 'import { state } from "offtake"; export const plugin = state;'],
  ["stateful-transform",
    'import * as offtake from "offtake"; export const plugin = () => offtake.state.get("a");'],
];

for (const [world, source] of PLUGINS) {
  test(`built for ${world}: ${source}`, async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "offtake-test-"));
    try {
      const entry = path.join(folder, "plugin.ts");
      await writeFile(entry, source);
      assert.equal(worldOf(await bundled(entry, path.join(folder, "out.js"))), world);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

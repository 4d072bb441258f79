// What of the SDK only shows in WebAssembly. `MODULE=probe.wasm node --test sdk.test.mjs`
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Instance, table } from "../../conformance/host.mjs";

const bytes = readFileSync(process.env.MODULE);
const source = readFileSync(new URL("probe/probe.go", import.meta.url), "utf8").split("\n");
const panicked = (code) => {
  const line = source.findIndex((text) => text.includes(code)) + 1;
  assert.notEqual(line, 0, code);
  return `panicked at probe.go:${line}`;
};
const batch = (...values) => ({ schema: 1, ops: "c".repeat(values.length), after: [{ ordinal: 0, kind: "text", values }] });

function configured(action) {
  const instance = new Instance(bytes);
  assert.ok(instance.configure({ action }).ok);
  return instance;
}

function started(action) {
  const instance = configured(action);
  assert.ok(instance.onSchema(table(1, [["name", "text"]])).ok);
  return instance;
}

test("a panic ends the instance and tells its place, not its text", () => {
  for (const [action, line] of [["panic", panicked("panic(text")], ["index", panicked("probe.kept[text")]]) {
    const instance = started(action);
    assert.throws(() => instance.process(batch("secret")), /proc_exit/);
    assert.deepEqual(instance.logs, [[4, line]]);
  }
  const instance = configured("panic on schema");
  assert.throws(() => instance.onSchema(table(1, [["name", "text"]])), /proc_exit/);
  assert.deepEqual(instance.logs, [[4, panicked('panic("on schema')]]);
});

test("a value read as one of another kind is no zero", () => {
  const instance = started("kind");
  assert.throws(() => instance.process(batch("secret")), /proc_exit/);
  assert.deepEqual(instance.logs, [[4, panicked("text.Int64(0)")]]);
});

test("lines and numbers reach the gateway", () => {
  const instance = started("metrics");
  assert.deepEqual(instance.process(batch("a", "b")), []);
  assert.deepEqual(instance.process(batch("c")), []);
  assert.deepEqual(instance.logs, [[3, "a line"], [3, "a line"]]);
  assert.deepEqual(instance.counts, [["rows", 3], ["sizes", 1.5]]);
});

test("a plugin that makes garbage stays within a few megabytes", () => {
  const instance = started("garbage");
  const values = Array.from({ length: 256 }, (_, at) => `${"x".repeat(500)}${at}`);
  for (let call = 0; call < 400; call++) {
    const [{ values: set }] = instance.process(batch(...values));
    assert.equal(set[255], `${values[255].toUpperCase()} 255`);
  }
  // 400 calls made some 150 MB of strings.
  assert.ok(instance.exports.memory.buffer.byteLength < 16 << 20, `${instance.exports.memory.buffer.byteLength}`);
});

test("a string that a plugin keeps stays what it is", () => {
  const instance = started("keep");
  instance.process(batch("first"));
  instance.process(batch("other"));
  assert.deepEqual(instance.process(batch("third"))[0].values, ["first,other,third"]);
});

test("a large argument finds room, and small ones after it", () => {
  const instance = started("keep");
  const large = "x".repeat(10 << 20);
  assert.equal(instance.process(batch(large))[0].values[0].length, large.length);
  assert.deepEqual(instance.process(batch("y"))[0].values, [`${large},y`]);
});

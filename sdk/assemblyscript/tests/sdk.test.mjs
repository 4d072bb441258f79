// The SDK's parts that the conformance plugin does not touch. `MODULE=probe.wasm node --test`
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ABSENT, Instance, UNCHANGED, batchFrame, readVerdict, table } from "../../conformance/host.mjs";

const bytes = readFileSync(process.env.MODULE);
const batch = {
  schema: 1, ops: "cd",
  after: [{ ordinal: 0, kind: "int64", values: [2n ** 63n - 1n, null] },
    { ordinal: 1, kind: "text", values: ["𝄞", null] }],
};

function started(config) {
  const instance = new Instance(bytes);
  const info = instance.configure(config);
  assert.ok(info.ok, JSON.stringify(info));
  const interest = instance.onSchema(table(1, [["id", "int64"], ["name", "text"]]));
  return { instance, info: info.ok, interest: interest.ok };
}

test("numbers of the configuration are exact", () => {
  const configure = (json) => {
    const instance = new Instance(bytes);
    return JSON.parse(new TextDecoder().decode(instance.call("offtake_configure", Buffer.from(json))));
  };
  for (const number of ["9223372036854775807", "-9223372036854775808", "0", "-1"]) {
    assert.equal(configure(`{"number":${number}}`).ok.name, `probe "${number}"`);
  }
  for (const number of ["9223372036854775808", "-9223372036854775809", "1.5", "1e3", "\"1\"", "null"]) {
    assert.equal(configure(`{"number":${number}}`).error.message, "config: `number` is no integer");
  }
});

test("mistakes in the configuration are named, and a failure may be transient", () => {
  const error = (config) => new Instance(bytes).configure(config).error;
  assert.deepEqual(error({ fine: false }), { message: "not now", permanent: false });
  assert.equal(error({ fine: 1, other: 2 }).message, "not now");
  assert.equal(error({ action: 1 }).message, "config: `action` is no text");
  assert.equal(error({ other: { deep: [1, null] } }).message, "config: `other` is unknown");
});

test("what is no JSON is refused", () => {
  for (const bad of ["", "{", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":1}}", "{\"a\":\"\\x\"}", "{\"a\":1,}",
    "[".repeat(300), "{\"a\":\"\\\"}"]) {
    const instance = new Instance(bytes);
    const answer = JSON.parse(new TextDecoder().decode(instance.call("offtake_configure", Buffer.from(bad))));
    assert.deepEqual(answer.error, { message: "config: it is no table", permanent: true }, bad);
  }
});

test("a shape is written whole", () => {
  const { interest } = started({ action: "shape" });
  assert.deepEqual(interest.shape, {
    remove: [1],
    retype: [[0, { name: "number", kind: "text", logical: "decimal(20,0)", native: "", nullable: true, labels: [] }]],
    add: [{ name: "seen", kind: "text", logical: "text", native: "", nullable: false, labels: [] }],
    key: [0, 2], stream: "all", name: ["other", "table"],
  });
  assert.deepEqual(interest.outputs[0].form, { opaque: { payload: 0, "content-type": "application/octet-stream" } });
  assert.equal(interest.outputs[0].stream, "blobs");
  assert.deepEqual([interest.outputs[1].form, interest.form], ["flat", "flat"]);
});

test("rows one by one read and set by name", () => {
  const { instance } = started({ action: "rows" });
  const sets = instance.process(batch);
  assert.deepEqual(sets, [{ drop: [1] },
    { set: "after", ordinal: 1, kind: "text", rows: [0], values: ["𝄞9223372036854775807"] }]);
  assert.deepEqual(instance.counts, [["rows", 2]]);
});

// An update with both images, one with an after image alone, one of a large value that stays; then a
// deleted row, and a truncate, in which nothing is.
const images = {
  schema: 1, ops: "uuudt",
  after: [{ ordinal: 1, kind: "text", values: ["a", "b", UNCHANGED, ABSENT, ABSENT] }],
  before: [{ ordinal: 1, kind: "text", values: ["old a", ABSENT, "old c", "d", ABSENT] }],
};
images.after.unshift({ ordinal: 0, kind: "int64", values: [1n, 2n, 3n, ABSENT, ABSENT] });
images.before.unshift({ ordinal: 0, kind: "int64", values: [ABSENT, ABSENT, ABSENT, 4n, ABSENT] });

test("a row that is covered is covered in both images", () => {
  const { instance, interest } = started({ action: "images" });
  assert.ok(interest.wants.includes("before-image"));
  const expected = [{ drop: [4] },
    { set: "before", ordinal: 1, kind: "text", rows: [0, 2, 3], values: ["b", "b", "b!"] },
    { set: "after", ordinal: 1, kind: "text", rows: [0, 1], values: ["a!", "a!"] }];
  for (let again = 0; again < 2; again++) assert.deepEqual(instance.process(images), expected);
});

test("the newest image is visited once a change", () => {
  const { instance } = started({ action: "newest" });
  assert.deepEqual(instance.process(images), [{ drop: [4] },
    { set: "after", ordinal: 1, kind: "text", rows: [0, 1], values: ["a!", "a!"] },
    { set: "before", ordinal: 1, kind: "text", rows: [3], values: ["b!"] }]);
});

test("a column's kind follows from its logical type, and few types are free text", () => {
  const instance = new Instance(bytes);
  instance.configure({ action: "free-text" });
  const columns = [["text", "text", "text"], ["code", "text", "varchar(80)"], ["total", "text", "decimal(12,2)"],
    ["key", "text", "uuid"], ["list", "text", "list<text>"], ["ok", "boolean", "bool"], ["id", "int64", "oid"],
    ["big", "uint64", "uint8"], ["ratio", "float64", "float4"], ["raw", "bytes", "bytes"]];
  const { error } = instance.onSchema({ ...table(1, []), columns: columns.map(([name, kind, logical]) =>
    ({ name, kind, logical, native: "", nullable: true, labels: [] })) });
  assert.equal(error.message,
    "text! varchar(80)! decimal(12,2) uuid list<text> bool oid uint8 float4 bytes ");
});

test("a plugin's mistake fails the call and is named; the next call is as if nothing was", () => {
  for (const [action, message] of [
    ["wrong-kind", "a column was set to a value of another kind"],
    ["out-of-order", "a column's rows were set out of order, or one twice"],
    ["no-column", "a column was set that there is not"],
    ["no-output", "a row was emitted on an output that was not declared"]]) {
    const { instance } = started({ action });
    for (let again = 0; again < 2; again++) {
      assert.deepEqual(instance.process(batch), { failure: { permanent: true, message } });
    }
  }
  assert.deepEqual(started({ action: "refuse" }).instance.process(batch),
    { failure: { permanent: false, message: "not this call" } });
});

test("half of a surrogate pair does not make bad UTF-8", () => {
  const [{ values }] = started({ action: "lone-surrogate" }).instance.process(batch);
  assert.deepEqual(values, ["a\ufffdb"]);
});

test("an error that is thrown traps, and its message stays inside", () => {
  const { instance } = started({ action: "throw" });
  assert.throws(() => instance.process(batch), WebAssembly.RuntimeError);
  assert.deepEqual(instance.logs[0], [3, "about to"]);
  assert.match(instance.logs[1][1], /^the plugin aborted at .*probe\.ts:\d+:\d+$/);
});

test("a frame that is cut off is refused", () => {
  const frame = batchFrame(batch);
  const { instance } = started({});
  assert.deepEqual(readVerdict(instance.call("offtake_process", frame), 2), []);
  // What is cut off last is padding.
  for (let length = 0; length < frame.length - 4; length++) {
    const answer = readVerdict(instance.call("offtake_process", frame.slice(0, length)), 2);
    assert.deepEqual(answer, { failure: { permanent: true, message: "the batch cannot be read" } }, `${length}`);
  }
});

// The conformance plugin of a language that makes core modules, called directly: what the gateway
// would be told, part by part. `MODULE=file.wasm node --test conformance.test.mjs`
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ABSENT, Instance, UNCHANGED, table } from "./host.mjs";

const bytes = readFileSync(process.env.MODULE);
const COLUMNS = [["id", "int64"], ["name", "text"], ["ok", "boolean"], ["big", "uint64"],
  ["ratio", "float64"], ["raw", "bytes"]];

function started(config, columns = COLUMNS, more = {}) {
  const instance = new Instance(bytes);
  const info = instance.configure(config);
  assert.equal(info.ok?.name, "conformance", JSON.stringify(info));
  const interest = instance.onSchema(table(7, columns, more));
  assert.ok(interest.ok, JSON.stringify(interest));
  return { instance, info: info.ok, interest: interest.ok };
}

const column = (ordinal, ...values) => ({ ordinal, kind: COLUMNS[ordinal][1], values });
const VALUES = [
  [2n ** 63n - 1n, -(2n ** 63n), null, 0n],
  ["𝄞é", "", UNCHANGED, ABSENT],
  [true, false, null, ABSENT],
  [2n ** 64n - 1n, 0n, null, 1n],
  [NaN, -Infinity, null, 0.1],
  [[0, 255, 0], [], null, UNCHANGED],
];
const AFTER = VALUES.map((values, at) => column(at, ...values));
const BEFORE = COLUMNS.map(([,], at) => column(at, ABSENT, null, VALUES[at][0], VALUES[at][1]));
const META = {
  positions: ["0/1", "", "ü", "0/4"], snapshot: [0, 1, 2, 3], commitTimes: [-1n, 0n, 2n ** 62n, 5n],
  transactions: ["771", "", "x", "y"], order: [1n, 2n, 3n, 4n],
  headers: [[1, [["a", "b"], ["remove-me", ""]]], [3, [["remove-me", "x"]]]],
};
const batch = { schema: 7, ops: "cudr", after: AFTER, before: BEFORE, meta: META };
const shown = (values) => values.map((value) =>
  value === UNCHANGED ? "unchanged" : value === ABSENT ? "absent" : value);

const fnv1a = (data) => data
  .reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5)
  .toString(16).padStart(8, "0");

test("everything is asked for", () => {
  const { interest, info } = started({ action: "echo" });
  assert.deepEqual(interest.columns, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual([...interest.wants].sort(), ["before-image", "commit-times", "headers",
    "packed-text", "positions", "transactions"]);
  assert.equal(info.protects ?? false, false);
});

test("echo sets what it read", () => {
  const { instance } = started({ action: "echo" });
  const sets = instance.process(batch);
  const find = (image, ordinal) => sets.find((set) => set.set === image && set.ordinal === ordinal);
  for (const [image, columns] of [["after", AFTER], ["before", BEFORE]]) {
    for (const { ordinal, kind, values } of columns) {
      const set = find(image, ordinal);
      assert.deepEqual([set.kind, set.rows, set.values], [kind, "all", shown(values)]);
    }
  }
  assert.equal(sets.length, 12);
});

test("mask covers characters and nothing else, and protects", () => {
  const { instance, info, interest } = started({ action: "mask", column: "name", keep_first: 1 });
  assert.deepEqual([info.protects, info["required-columns"]], [true, ["name"]]);
  assert.equal(interest.subscribe, true);
  const sets = instance.process(batch);
  assert.deepEqual(sets.map(({ set, rows, values }) => [set, rows, values]).sort(), [
    ["after", [0, 1], ["𝄞*", ""]], ["before", [2, 3], ["𝄞*", ""]]]);
});

test("mask refuses what it cannot cover", () => {
  const instance = new Instance(bytes);
  instance.configure({ action: "mask", column: "id" });
  assert.deepEqual(instance.onSchema(table(1, COLUMNS)).error, {
    message: "public.people.id has type int64: mask works on text columns only", permanent: true });
  assert.equal(instance.onSchema(table(2, [["other", "text"]])).ok.subscribe ?? false, false);
});

test("drop goes by the image that counts", () => {
  const { instance } = started({ action: "drop" });
  assert.deepEqual(instance.process(batch), [{ drop: [0, 2] }]);
  assert.deepEqual(started({ action: "drop", column: "name" }).instance.process(batch), []);
});

test("add shows everything", () => {
  const { instance, interest } = started({ action: "add" });
  assert.equal(interest.shape.add[0].name, "seen");
  const [{ set, ordinal, values }, second] = instance.process(batch);
  assert.deepEqual([set, ordinal, second.set], ["after", 6, "before"]);
  assert.equal(values[0], "c position=0/1 snapshot=0 committed=-1 transaction=771 order=1 headers=0 " +
    "after.id=i:9223372036854775807 after.name=t:𝄞é after.ok=true after.big=u:18446744073709551615 " +
    "after.ratio=f:nan after.raw=b:00ff00 before.id=absent before.name=absent before.ok=absent " +
    "before.big=absent before.ratio=absent before.raw=absent");
  assert.equal(values[1], "u position= snapshot=1 committed=0 transaction= order=2 headers=2 a=b:62 " +
    "remove-me=b: after.id=i:-9223372036854775808 after.name=t: after.ok=false after.big=u:0 " +
    "after.ratio=f:fff0000000000000 after.raw=b: before.id=null before.name=null before.ok=null " +
    "before.big=null before.ratio=null before.raw=null");
  assert.ok(second.values[0].startsWith("d position=ü snapshot=2 committed=4611686018427387904 "));
});

test("long values are told by length and hash", () => {
  const { instance } = started({ action: "add" }, [["name", "text"], ["raw", "bytes"]]);
  const after = [{ ordinal: 0, kind: "text", values: ["x".repeat(1 << 20)] },
    { ordinal: 1, kind: "bytes", values: [new Array(65).fill(0)] }];
  const meta = { positions: [""], snapshot: [0], commitTimes: [0n], transactions: [""], order: [1n] };
  const [{ values }] = instance.process({ schema: 7, ops: "c", after, meta });
  assert.ok(values[0].includes(` after.name=t#1048576:${fnv1a(Buffer.alloc(1 << 20, "x"))}`));
  assert.ok(values[0].endsWith(` after.raw=b#65:${fnv1a(Buffer.alloc(65))}`));
});

test("fan-out emits what it declared", () => {
  const { instance, interest } = started({ action: "fan-out" });
  assert.deepEqual(interest.outputs[0].columns.map(({ name, kind }) => [name, kind]), [
    ["operation", "text"], ["position", "bytes"], ["committed", "int64"], ["order", "uint64"],
    ["created", "boolean"], ["half", "float64"]]);
  const [emitted] = instance.process(batch);
  assert.deepEqual([emitted.parents, emitted.ops], [[0, 1, 2, 3], "ccdc"]);
  assert.deepEqual(emitted.streams, ["", "", "seen.deleted", ""]);
  assert.deepEqual(emitted.partitions, [1, 2, 0, 1]);
  assert.deepEqual(emitted.headers.map(([row, pairs]) => [row, pairs[0].join()]),
    [[0, "operation,c"], [1, "operation,u"], [2, "operation,d"], [3, "operation,r"]]);
  const find = (image, ordinal) => emitted[image].find((one) => one.ordinal === ordinal).values;
  assert.deepEqual(find("after", 0), ["c", "u", null, "r"]);
  assert.deepEqual(find("before", 0), ["absent", "absent", "d", "absent"]);
  assert.deepEqual(find("after", 1), [[48, 47, 49], null, null, [48, 47, 52]]);
  assert.deepEqual(find("before", 2), ["absent", "absent", 2n ** 62n, "absent"]);
  assert.deepEqual(find("after", 4), [true, false, null, false]);
  assert.deepEqual(find("after", 5), [0.5, 1, null, 2]);
});

test("route sends, numbers and names", () => {
  const { instance } = started({ action: "route", stream: "name", partition: "id", header: "raw" });
  const routes = instance.process(batch);
  const streams = routes.filter((one) => one.stream !== undefined).map((one) => [one.route, one.stream]);
  assert.deepEqual(streams, []);
  const named = (...values) => instance.process({ ...batch, after: AFTER.with(1, column(1, ...values)) })
    .filter((one) => one.stream !== undefined).map((one) => [one.route[0], one.stream]);
  assert.deepEqual(named("a-Z.0_9", "x".repeat(249), "never", "x".repeat(250)),
    [[0, "a-Z.0_9"], [1, "x".repeat(249)]]);
  const numbered = routes.find((one) => one.partitions.length);
  assert.deepEqual([numbered.route, numbered.partitions], [[0, 1, 2, 3], [0xffffffff, 0, 0xffffffff, 0]]);
  assert.deepEqual(routes.flatMap((one) => one.add.map(([name, value]) => [one.route[0], name, value.length])).sort(),
    [[0, "raw", 3], [1, "raw", 0], [2, "raw", 3]]);
  assert.deepEqual(routes.flatMap((one) => one.remove.map((name) => [one.route[0], name])),
    [[1, "remove-me"], [3, "remove-me"]]);
});

test("fail fails rows, or the call", () => {
  const after = [column(0, 1n, 2n, 3n), column(1, "fail", "fine", null)];
  const before = [column(0, 1n, 2n, 3n), column(1, "retry", "failed", "retry")];
  const meta = { positions: ["", "", ""], snapshot: [0, 0, 0], commitTimes: [0n, 0n, 0n], transactions: ["", "", ""], order: [1n, 2n, 3n] };
  const rows = { schema: 7, ops: "uuu", after, before, meta };
  const columns = COLUMNS.slice(0, 2);
  const message = "column name asks for it";
  assert.deepEqual(started({ action: "fail" }, columns).instance.process(rows), [{ failures: [
    { row: 0, permanent: true, message }, { row: 2, permanent: false, message }] }]);
  assert.deepEqual(started({ action: "fail", whole: true }, columns).instance.process(rows),
    { failure: { permanent: true, message } });
});

test("op makes updates deletes", () => {
  assert.deepEqual(started({ action: "op" }).instance.process(batch), [{ ops: [[1, "d"]] }]);
});

test("mistakes in the configuration are named", () => {
  const refused = (config) => new Instance(bytes).configure(config).error;
  assert.deepEqual(refused({}), { message: "config: `action` is missing", permanent: true });
  assert.equal(refused({ action: "sing" }).message,
    "config: `action` is none of echo, mask, drop, add, fan-out, route, fail, op");
  assert.equal(refused({ action: "mask" }).message, "config: `column` is missing");
  assert.equal(refused({ action: "op", column: "id" }).message, "config: `column` is unknown");
});

test("names and values with every escape come through", () => {
  const name = "a\"\\/\b\f\n\r\t\u0001é𝄞\ud83d\ude00 \u2028";
  const { instance, interest } = started({ action: "mask", column: name }, [[name, "text"]]);
  assert.deepEqual(interest.columns, [0]);
  const refused = new Instance(bytes);
  refused.configure({ action: "mask", column: name });
  assert.equal(refused.onSchema(table(1, [[name, "int64"]])).error.message,
    `public.people.${name} has type int64: mask works on text columns only`);
  assert.deepEqual(instance.process({ schema: 7, ops: "t", after: [{ ordinal: 0, kind: "text", values: [ABSENT] }], before: [] }), []);
});

test("memory is used again: many large calls do not grow it", () => {
  const { instance } = started({ action: "echo" }, [["name", "text"]]);
  const values = ["x".repeat(100_000), "y", "z".repeat(50_000)];
  const call = () => instance.process({ schema: 7, ops: "ccc",
    after: [{ ordinal: 0, kind: "text", values }], before: [],
    meta: { positions: ["", "", ""], snapshot: [0, 0, 0], commitTimes: [0n, 0n, 0n], transactions: ["", "", ""], order: [1n, 2n, 3n] } });
  for (let at = 0; at < 3; at++) call();
  const before = instance.exports.memory.buffer.byteLength;
  for (let at = 0; at < 20; at++) call();
  assert.equal(instance.exports.memory.buffer.byteLength, before);
});

/** What a plugin says of its rows becomes what the contract has for it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ABSENT, column, Config, Failure, Interest, mapRows, Output, UNCHANGED,
  type Batch, type Field, type Schema, type Verdict,
} from "offtake";
import { PEOPLE, verdictOf } from "./table";

const EMAILS = { email: ["a", "b", "c"] };

function finished(
  work: (batch: Batch, verdict: Verdict) => void,
  interest?: (schema: Schema) => Interest,
): any {
  return verdictOf(work, "ccc", EMAILS, {}, interest).finish();
}

test("a column is an array and is set as one, and single rows after it", () => {
  const answer = finished((batch, verdict) => {
    assert.deepEqual(batch.after.get("email"), ["a", "b", "c"]);
    assert.deepEqual([batch.rows, batch.after.names], [3, ["email"]]);
    verdict.setField("after", "email", 0, "lost");
    verdict.set("after", "email", ["x", null, "y"]);
    verdict.setField("after", "email", 2, "z");
    verdict.setField("after", "email", 1, "w");
  });
  const patches = answer.set.map((patch: any) => [[...patch.rows], patch.column.data.val]);
  assert.deepEqual(patches, [[[0], ["lost"]], [[], ["x", "", "y"]], [[1, 2], ["w", "z"]]]);
  assert.deepEqual([...answer.set[1].column.presence], [0, 1, 0]);
});

test("map reaches both images and values alone", () => {
  const upper = (_: Batch, verdict: Verdict) =>
    verdict.map<string>("email", (text) => text.toUpperCase());
  const after: Record<string, Field[]> = { email: ["a", null, UNCHANGED] };
  const answer: any = verdictOf(upper, "uuu", after, { email: ["q", ABSENT, "r"] }).finish();
  const patches = answer.set.map((it: any) => [it.image, [...it.rows], it.column.data.val]);
  assert.deepEqual(patches, [["before", [0, 2], ["Q", "R"]], ["after", [0], ["A"]]]);
});

test("map passes by a table that lacks the column", () => {
  const answer = finished((_, verdict) => verdict.map<string>("phone", (text) => text.toUpperCase()));
  assert.deepEqual(answer.set, []);
});

test("map reaches a column by the name with which it leaves", () => {
  const renamed = (schema: Schema) =>
    Interest.inColumns(schema, ["email"]).withColumnRenamed("email", "mail");
  const upper = (name: string) => (_: Batch, verdict: Verdict) =>
    verdict.map<string>(name, (text) => text.toUpperCase());
  const { set: [patch] } = finished(upper("mail"), renamed);
  assert.deepEqual([patch.column.ordinal, patch.column.data.val], [1, ["A", "B", "C"]]);
  assert.throws(() => finished(upper("email"), renamed), /leaves without one of that name/);
});

test("rows are routed, dropped and failed", () => {
  const answer = finished((_, verdict) => {
    verdict.drop([2, 0]);
    verdict.setOperation(1, "d");
    verdict.setStream([2, 1], "b");
    verdict.setStream(2, "a");
    verdict.setPartition(2, 2 ** 32 - 1);
    verdict.setHeader(0, "h", "é");
    verdict.removeHeader([0, 1], "old");
    verdict.fail(1, "no", false);
    verdict.fail(1, "later");
  });
  assert.deepEqual([...answer.drop], [0, 2]);
  assert.deepEqual(answer.ops, [{ row: 1, op: 100 }]);
  assert.deepEqual(answer.failures, [{ row: 1, failure: { message: "no", permanent: false } }]);
  const routes = answer.routes.map((route: any) =>
    [[...route.rows], route.stream, [...route.partitions], route.addHeaders, route.removeHeaders]);
  assert.deepEqual(routes, [
    [[0], null, [], [{ name: "h", value: Uint8Array.of(0xc3, 0xa9) }], []],
    [[0, 1], null, [], [], ["old"]],
    [[2], null, [2 ** 32 - 1], [], []],
    [[2], "a", [], [], []],
    [[1], "b", [], [], []],
  ]);
});

const MISTAKES: [string, (batch: Batch, verdict: Verdict) => void][] = [
  ["a row was named that the 3 of the batch do not have", (_, verdict) => verdict.drop(3)],
  ["a row was named", (_, verdict) => verdict.setField("after", "email", 0.5, "x")],
  ["a partition is a whole number", (_, verdict) => verdict.setPartition(0, -1)],
  ["column nope was set", (_, verdict) => verdict.set("after", "nope", ["x", "x", "x"])],
  ["1 values for 3 rows", (_, verdict) => verdict.set("after", "email", ["x"])],
  ["not ascending", (_, verdict) => verdict.set("after", "email", ["x", "y"], [1, 0])],
  ["email of public.people was not asked for", (batch) => batch.before.get("email")],
  ["output seen, which was not declared", (_, verdict) => verdict.emit("seen", 0, {})],
];

for (const [message, work] of MISTAKES) {
  test(`a mistake is named: ${message}`, () => {
    assert.throws(() => finished(work), (error: Failure) => error.message.includes(message));
  });
}

test("columns count on behind those of the table", () => {
  const interest = (schema: Schema) => Interest.inColumns(schema, ["email", "nothing", "email"])
    .withColumnRenamed("email", "mail").withColumn(column("slug", "text"))
    .withoutColumns(["vip", "nothing"]).keyedBy(["slug", "id"]);
  const told = interest(PEOPLE);
  assert.deepEqual([told.columns, told.shape?.remove, told.shape?.key], [[1], [2], [3, 0]]);
  const answer = finished((_, verdict) => verdict.setField("after", "slug", 1, "s"), interest);
  assert.equal(answer.set[0].column.ordinal, 3);
  assert.throws(() => Interest.none(PEOPLE).keyedBy(["emial"]), /public.people has no column emial/);
});

test("emitted rows stand in the order of their parents", () => {
  const output = new Output("seen", [column("id", "int8"), column("what", "text")]);
  const { emit: [emitted] } = finished((_, verdict) => {
    verdict.emit("seen", 2, { after: { id: 3n }, partition: 1 });
    verdict.emit("seen", 0, { operation: "d", before: { id: 1n }, partition: 0, headers: { h: "x" } });
    verdict.emit("seen", 2, { after: { id: 4n, what: "w" }, stream: "s", partition: 1 });
  }, (schema) => Interest.none(schema).withOutput(output));
  const columns = (given: any[]) => given.map((it) => [[...it.presence], [...it.data.val]]);
  assert.deepEqual([[...emitted.parents], String.fromCharCode(...emitted.ops)], [[0, 2, 2], "dcc"]);
  assert.deepEqual(columns(emitted.after), [[[1, 0, 0], [0n, 3n, 4n]], [[1, 1, 0], ["", "", "w"]]]);
  assert.deepEqual(columns(emitted.before), [[[0, 3, 3], [1n, 0n, 0n]]]);
  assert.deepEqual([emitted.streams, [...emitted.partitions]], [["", "", "s"], [0, 1, 1]]);
  assert.deepEqual(emitted.headers.map((it: any) => it.row), [0]);
});

test("rows are mapped one by one and fail alone", () => {
  const verdict = verdictOf((batch, verdict) => mapRows(batch, verdict, (row, place) => {
    if (row["email"] === "b") throw new TypeError("a secret");
    if (row["email"] === "c") return null;
    row["email"] = `${String(row["email"])}${place.image[0]}${place.operation}${place.row}`;
    return row;
  }), "uuu", { id: [1n, 2n, 3n], ...EMAILS }, { email: ["q", ABSENT, ABSENT] });
  const answer: any = verdict.finish();
  const patches = answer.set.map((it: any) => [it.image, [...it.rows], it.column.data.val]);
  assert.deepEqual(patches, [["before", [0], ["qbu0"]], ["after", [0], ["aau0"]]]);
  assert.deepEqual([...answer.drop], [2]);
  const [{ row, failure }] = answer.failures;
  assert.equal(row, 1);
  assert.match(failure.message, /^TypeError at /);
  assert.doesNotMatch(failure.message, /secret/);
});

test("a mistake in the configuration names its key", () => {
  const message = (json: string, read: (config: Config) => unknown) => {
    try {
      read(Config.fromJson(json));
    } catch (error) {
      return (error as Failure).message;
    }
    return "";
  };
  assert.equal(message("{}", (it) => it.requiredText("column")), "config: `column` is missing");
  assert.equal(message('{"n":"7"}', (it) => it.count("n")),
    "config: `n` must be a whole number, not a string");
  assert.equal(message('{"n":-1}', (it) => it.count("n")),
    "config: `n` must be a whole number from 0 to 4294967295");
  assert.equal(message('{"o":[{}]}', (it) => it.objects("o")?.[0]?.requiredText("k")),
    "config: `o[0].k` is missing");
  assert.equal(message('{"x":1}', (it) => [it.text("t"), it.finish()]),
    "config: unknown key `x`; known are: t");
  assert.equal(message("[]", () => 0), "config: must be an object, not an array");
  assert.equal(message("{", () => 0), "config: it is no JSON");
});

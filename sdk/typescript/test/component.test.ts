/** The exported functions, with records as componentize-qjs gives them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { component, Failure, Interest, type Batch, type Config, type Schema, type Verdict } from "offtake";
import host from "offtake:transform/host@1.0.0";

const { lines } = host as unknown as { lines: [string, string][] };

/** Throws in whichever call it is told to. */
class Careless {
  private at: string | undefined;

  configure(config: Config) {
    this.at = config.text("at");
    return { name: "careless", version: "1" };
  }

  onSchema(schema: Schema): Interest {
    this.fall("schema");
    return Interest.inAllColumns(schema).withMetadata();
  }

  process(batch: Batch, verdict: Verdict): void {
    this.fall("process");
    verdict.set("after", "n", batch.after.get("n"));
    verdict.setHeader(0, "order", String(batch.metadata?.transactionOrder[0]));
  }

  private fall(place: string): void {
    if (this.at === place) throw new RangeError("a secret");
    if (this.at === "failure") throw new Failure("\ud800 in its own words");
    if (this.at === "text") throw "a secret";
  }
}

const SCHEMA = {
  id: 7, subject: "table", database: "d", namespace: "public", table: "t", version: 1, key: [],
  columns: [{ name: "n", kind: "int64", logical: "int8", native: "int8", nullable: true, labels: [] }],
  beforeColumns: [], extra: [],
} as const;

const PACKED = { offsets: [0, 1], data: Uint8Array.of(97) };
const BATCH = {
  schema: 7, ops: Uint8Array.of(99), before: [],
  after: [{
    ordinal: 0, presence: new Uint8Array(0),
    data: { tag: "int64", val: [[-1, 0x7fffffff]] as const },
  }],
  meta: {
    positions: PACKED, snapshot: Uint8Array.of(0), commitTimes: [[0, -0x80000000]] as const,
    transactions: PACKED, transactionOrder: [[-1, -1]] as const, headers: [],
  },
} as const;

function refused(call: () => unknown): { message: string; permanent: boolean } {
  try {
    call();
  } catch (error) {
    assert(!(error instanceof Error), "the bindings take the contract's record");
    return error as { message: string; permanent: boolean };
  }
  throw new assert.AssertionError({ message: "it was accepted" });
}

test("integers of 64 bits arrive in halves and leave whole", () => {
  const plugin = component(Careless);
  plugin.configure("{}");
  plugin.onSchema(SCHEMA);
  const answer: any = plugin.process(BATCH);
  assert.deepEqual(answer.set[0].column.data.val, BigInt64Array.of(2n ** 63n - 1n));
  const [header] = answer.routes[0].addHeaders;
  assert.equal(Buffer.from(header.value).toString(), String(2n ** 64n - 1n));
});

test("an exception becomes a failure with its place and without its text", () => {
  const plugin = component(Careless);
  plugin.configure('{"at":"process"}');
  plugin.onSchema(SCHEMA);
  lines.length = 0;
  const failure = refused(() => plugin.process(BATCH));
  assert.match(failure.message, /^RangeError at .*fall/);
  assert.doesNotMatch(failure.message, /secret/);
  assert.equal(failure.permanent, false);
  assert.deepEqual(lines, [["error", failure.message]]);
});

test("a failure keeps its words and becomes text", () => {
  const plugin = component(Careless);
  plugin.configure('{"at":"failure"}');
  const failure = refused(() => plugin.onSchema(SCHEMA));
  assert.deepEqual(failure, { message: "\ufffd in its own words", permanent: true });
});

test("what is thrown and is no Error is not quoted", () => {
  const plugin = component(Careless);
  plugin.configure('{"at":"text"}');
  assert.match(refused(() => plugin.onSchema(SCHEMA)).message, /^an exception that is no Error at/);
});

test("calls out of order are refused", () => {
  const plugin = component(Careless);
  assert.equal(refused(() => plugin.onSchema(SCHEMA)).message, "called before it was configured");
  plugin.configure("{}");
  assert.equal(refused(() => plugin.process(BATCH)).message,
    "called with a schema that was never told");
});

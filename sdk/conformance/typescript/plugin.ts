/** The conformance plugin in TypeScript; ../README.md says what it does. */

import {
  ABSENT, column, component, encodeText, Failure, Interest, isValue, Output, UNCHANGED,
  type Batch, type Config, type Field, type Info, type Kind, type Plugin, type Schema, type Value,
  type Verdict,
} from "offtake";

const ACTIONS = ["echo", "mask", "drop", "add", "fan-out", "route", "fail", "op"];
/** What can name a stream: not dots alone. */
const STREAM = /^(?!\.*$)[A-Za-z0-9._-]{1,249}$/;
const SEEN = new Output("seen", [
  column("operation", "text", { nullable: false }),
  column("position", "bytes"),
  column("committed", "int8"),
  column("order", "uint8"),
  column("created", "bool"),
  column("half", "float8"),
]);

class Conformance implements Plugin {
  private action = "";
  private column = "";
  private keepFirst = 0;
  private whole = false;
  private routes: { stream?: string; partition?: string; header?: string } = {};

  configure(config: Config): Info {
    const action = config.take("action");
    if (action === undefined) throw config.refuse("action", "is missing");
    if (typeof action !== "string" || !ACTIONS.includes(action)) {
      throw config.refuse("action", `is none of ${ACTIONS.join(", ")}`);
    }
    this.action = action;
    if (action === "mask") {
      this.column = config.requiredText("column");
      this.keepFirst = config.count("keep_first") ?? 0;
    }
    if (action === "drop") this.column = config.text("column") ?? "id";
    if (action === "fail") this.whole = config.boolean("whole") ?? false;
    if (action === "route") {
      for (const key of ["stream", "partition", "header"] as const) {
        const name = config.text(key);
        if (name !== undefined) this.routes[key] = name;
      }
    }
    for (const key of config.rest()) throw config.refuse(key, "is unknown");
    const info = { name: "conformance", version: "1.0.0" };
    return action === "mask" ? { ...info, protects: [this.column] } : info;
  }

  onSchema(schema: Schema): Interest {
    if (this.action === "mask") {
      const info = schema.column(this.column);
      if (info === undefined) return Interest.none(schema);
      if (info.kind !== "text") throw schema.refuse(info, "mask works on text columns only");
    }
    const interest = Interest.inAllColumns(schema).withBeforeImages().withMetadata().withHeaders();
    if (this.action === "add" && !schema.isMessage) interest.withColumn(column("seen", "text"));
    if (this.action === "fan-out") interest.withOutput(SEEN);
    return interest;
  }

  process(batch: Batch, verdict: Verdict): void {
    switch (this.action) {
      case "echo": return echo(batch, verdict);
      case "mask": return verdict.map<string>(this.column, (text) => mask(text, this.keepFirst));
      case "drop": return drop(batch, verdict, this.column);
      case "add": return add(batch, verdict);
      case "fan-out": return fanOut(batch, verdict);
      case "route": return this.route(batch, verdict);
      case "fail": return fail(batch, verdict, this.whole);
      case "op": return verdict.setOperation(
        batch.operations.flatMap((operation, row) => (operation === "u" ? row : [])), "d");
    }
  }

  private route(batch: Batch, verdict: Verdict): void {
    const { stream, partition, header } = this.routes;
    for (const [row, value] of values(batch, stream, ["text"])) {
      if (STREAM.test(value as string)) verdict.setStream(row, value as string);
    }
    for (const [row, value] of values(batch, partition, ["int64"])) {
      verdict.setPartition(row, Number(BigInt.asUintN(32, value as bigint)));
    }
    for (const [row, value] of values(batch, header, ["text", "bytes"])) {
      verdict.setHeader(row, header!, value as string | Uint8Array);
    }
    for (const [row, headers] of batch.metadata!.headers) {
      if (headers.some(([name]) => name === "remove-me")) verdict.removeHeader(row, "remove-me");
    }
  }
}

function echo(batch: Batch, verdict: Verdict): void {
  for (const image of ["after", "before"] as const) {
    for (const name of batch[image].names) verdict.set(image, name, batch[image].get(name));
  }
}

function mask(text: string, keep: number): string {
  const characters = Array.from(text);
  const kept = characters.length > keep ? keep : 0;
  return characters.slice(0, kept).join("") + "*".repeat(characters.length - kept);
}

function drop(batch: Batch, verdict: Verdict, name: string): void {
  for (const [row, value] of values(batch, name, ["int64"])) {
    if ((value as bigint) % 2n !== 0n) verdict.drop(row);
  }
}

function add(batch: Batch, verdict: Verdict): void {
  if (batch.schema.isMessage) return;
  for (const image of ["after", "before"] as const) {
    const rows = batch.operations.flatMap((operation, row) =>
      (operation !== "t" && (operation === "d") === (image === "before") ? row : []));
    verdict.set(image, "seen", rows.map((row) => writtenRow(batch, row)), rows);
  }
}

function fanOut(batch: Batch, verdict: Verdict): void {
  const { positions, commitTimes, transactionOrder } = batch.metadata!;
  batch.operations.forEach((operation, row) => {
    const order = transactionOrder[row]!;
    const fields: Record<string, Field> = {
      operation,
      committed: commitTimes[row]!,
      order,
      created: operation === "c",
      half: Number(order) / 2,
    };
    if (operation !== "u") fields["position"] = encodeText(positions[row]!);
    const placed = operation === "d"
      ? { operation: "d", before: fields, stream: "seen.deleted" } as const
      : { operation: "c", after: fields } as const;
    const partition = Number(order % 3n);
    verdict.emit("seen", row, { ...placed, partition, headers: { operation } });
  });
}

function fail(batch: Batch, verdict: Verdict, whole: boolean): void {
  const texts = batch.schema.columns.filter((info) => info.kind === "text");
  for (let row = 0; row < batch.rows; row++) {
    const asked = [batch.after, batch.before]
      .flatMap((columns) => texts.map(({ name }) => ({ name, value: columns.get(name)[row] })))
      .find(({ value }) => value === "fail" || value === "retry");
    if (asked === undefined) continue;
    const message = `column ${asked.name} asks for it`;
    if (whole) throw new Failure(message, asked.value === "fail");
    verdict.fail(row, message, asked.value === "fail");
  }
}

/** The rows that have a value in the image that stands for them, of a column of these kinds. */
function values(batch: Batch, name: string | undefined, kinds: Kind[]): [number, Value][] {
  const info = name === undefined ? undefined : batch.schema.column(name);
  if (info === undefined || !kinds.includes(info.kind)) return [];
  return batch.operations.flatMap((operation, row): [number, Value][] => {
    const field = (operation === "d" ? batch.before : batch.after).get(info.name)[row]!;
    return operation !== "t" && isValue(field) ? [[row, field]] : [];
  });
}

function writtenRow(batch: Batch, row: number): string {
  const { positions, snapshot, commitTimes, transactions, transactionOrder, headers } =
    batch.metadata!;
  const given = headers.get(row) ?? [];
  const words = [
    batch.operations[row]!, `position=${positions[row]}`, `snapshot=${snapshot[row]}`,
    `committed=${commitTimes[row]}`, `transaction=${transactions[row] ?? ""}`,
    `order=${transactionOrder[row]}`, `headers=${given.length}`,
    ...given.map(([name, value]) => `${name}=${written("bytes", value)}`),
  ];
  for (const image of ["after", "before"] as const) {
    for (const { name, kind } of batch.schema.columns) {
      words.push(`${image}.${name}=${written(kind, batch[image].get(name)[row]!)}`);
    }
  }
  return words.join(" ");
}

function written(kind: Kind, field: Field): string {
  if (field === null) return "null";
  if (field === UNCHANGED) return "unchanged";
  if (field === ABSENT) return "absent";
  switch (kind) {
    case "boolean": return String(field);
    case "int64": return `i:${String(field)}`;
    case "uint64": return `u:${String(field)}`;
    case "float64": return Number.isNaN(field) ? "f:nan" : `f:${bits(field as number)}`;
    case "text": return writtenBytes("t", encodeText(field as string), field as string);
    case "bytes": return writtenBytes("b", field as Uint8Array, hex(field as Uint8Array));
  }
}

function writtenBytes(letter: string, bytes: Uint8Array, short: string): string {
  if (bytes.length <= 64) return `${letter}:${short}`;
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${letter}#${bytes.length}:${(hash >>> 0).toString(16).padStart(8, "0")}`;
}

function bits(number: number): string {
  const bytes = new Uint8Array(new Float64Array([number]).buffer);
  return hex(bytes.reverse());
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const plugin = component(Conformance);

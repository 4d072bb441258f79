/**
 * The plugin as a component: between the contract's records and this package's classes. An
 * exception that leaves an exported function ends the instance without a word, so none does but the
 * contract's own failure.
 */

import { Batch, type Metadata, type Operation, type RawColumn } from "./batch";
import { Config } from "./config";
import { described, Failure } from "./failure";
import { log, wellFormed } from "./host";
import { Interest, type Form, type Info } from "./interest";
import type { Plugin } from "./plugin";
import { Schema, type ColumnInfo } from "./schema";
import { decodeText } from "./utf8";
import type { Kind } from "./value";
import { Verdict } from "./verdict";

/** Definitions that are remembered. The gateway remembers no more, and tells forgotten ones again. */
const SCHEMAS = 16_384;

/** An integer of 64 bits as its lower and upper half: bin/widen.mjs says why. */
type Halves = readonly [number, number];

interface WirePacked {
  readonly offsets: readonly number[];
  readonly data: Uint8Array;
}

interface WireColumn {
  readonly ordinal: number;
  readonly presence: Uint8Array;
  readonly data: { readonly tag: Kind; readonly val: unknown };
}

interface WireBatch {
  readonly schema: number;
  readonly ops: Uint8Array;
  readonly before: readonly WireColumn[];
  readonly after: readonly WireColumn[];
  readonly meta: null | {
    readonly positions: WirePacked;
    readonly snapshot: Uint8Array;
    readonly commitTimes: readonly Halves[];
    readonly transactions: WirePacked;
    readonly transactionOrder: readonly Halves[];
    readonly headers: readonly {
      readonly row: number;
      readonly headers: readonly { readonly name: string; readonly value: Uint8Array }[];
    }[];
  };
}

type WireSchema = Omit<ConstructorParameters<typeof Schema>[0], "isMessage"> & { subject: string };

/** Makes a plugin the one of this component: `export const plugin = component(Mask);` */
export function component(plugin: new () => Plugin) {
  let made: Plugin | undefined;
  const told = new Map<number, Interest>();
  const configured = () => {
    if (made === undefined) throw new Failure("called before it was configured");
    return made;
  };
  return {
    configure: (configJson: string) => guarded(() => {
      const fresh = new plugin();
      const info = fresh.configure(Config.fromJson(configJson));
      made = fresh;
      return wireInfo(info);
    }),
    onSchema: (wire: WireSchema) => guarded(() => {
      const { subject, ...fields } = wire;
      const schema = new Schema({ ...fields, isMessage: subject === "message" });
      const interest = configured().onSchema(schema);
      const answer = wireInterest(interest);
      for (const id of told.keys()) if (told.size >= SCHEMAS) told.delete(id);
      told.set(schema.id, interest);
      return answer;
    }),
    process: (wire: WireBatch) => guarded(() => {
      const interest = told.get(wire.schema);
      if (interest === undefined) throw new Failure("called with a schema that was never told");
      const batch = liftBatch(wire, interest.schema);
      const verdict = new Verdict(batch, interest);
      configured().process(batch, verdict);
      return verdict.finish();
    }),
  };
}

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const failure = described(error);
    if (failure !== error) log("error", failure.message);
    throw { message: wellFormed(failure.message), permanent: failure.permanent };
  }
}

function signed(halves: readonly Halves[]): bigint[] {
  const words = new Int32Array(halves.length * 2);
  halves.forEach((pair, at) => words.set(pair, at * 2));
  return Array.from(new BigInt64Array(words.buffer));
}

function unsigned(halves: readonly Halves[]): bigint[] {
  const words = new Int32Array(halves.length * 2);
  halves.forEach((pair, at) => words.set(pair, at * 2));
  return Array.from(new BigUint64Array(words.buffer));
}

function liftColumn({ presence, data: { tag, val } }: WireColumn): RawColumn {
  const lifted = () => {
    switch (tag) {
      case "boolean": return Array.from(val as Uint8Array, (byte) => byte !== 0);
      case "int64": return signed(val as Halves[]);
      case "uint64": return unsigned(val as Halves[]);
      default: return val as unknown[];
    }
  };
  return { kind: tag, presence, data: lifted() };
}

function liftBatch(wire: WireBatch, schema: Schema): Batch {
  const columns = (given: readonly WireColumn[]) => new Map(given.map((column) =>
    [schema.columns[column.ordinal]!.name, liftColumn(column)]));
  const operations = Array.from(wire.ops, (byte) => String.fromCharCode(byte) as Operation);
  const metadata = liftMetadata(wire.meta);
  return new Batch(schema, operations, columns(wire.before), columns(wire.after), metadata);
}

function texts({ offsets, data }: WirePacked): string[] {
  return offsets.slice(1).map((end, at) => decodeText(data.subarray(offsets[at]!, end)));
}

function liftMetadata(wire: WireBatch["meta"]): Metadata | null {
  if (wire === null) return null;
  return {
    positions: texts(wire.positions),
    snapshot: wire.snapshot,
    commitTimes: signed(wire.commitTimes),
    transactions: texts(wire.transactions).map((name) => (name === "" ? null : name)),
    transactionOrder: unsigned(wire.transactionOrder),
    headers: new Map(wire.headers.map(({ row, headers }) =>
      [row, headers.map(({ name, value }) => [name, value] as const)])),
  };
}

function wireInfo({ name, version, protects, keepsState }: Info) {
  return {
    name,
    version,
    protects: protects !== undefined,
    requiredColumns: [...(protects ?? [])],
    stateful: keepsState ?? false,
    extra: [],
  };
}

function wireForm(form: Form) {
  return typeof form === "string" ? { tag: form } : { tag: "opaque", val: form };
}

function wireInterest(interest: Interest) {
  if (!(interest instanceof Interest)) throw new Failure("`onSchema` must return an Interest");
  const { subscribe, columns, wants, shape, form, outputs } = interest;
  const wide = (infos: readonly ColumnInfo[]) => infos.map((info) =>
    ({ ...info, labels: [...info.labels] }));
  return {
    subscribe,
    columns: Uint32Array.from(columns),
    wants: Object.fromEntries([...wants].map((want) => [want, true])),
    shape: shape && { ...shape, key: shape.key && Uint32Array.from(shape.key) },
    form: form && wireForm(form),
    outputs: outputs.map((output) => ({
      name: output.name,
      columns: wide(output.columns),
      key: Uint32Array.from(output.key),
      form: wireForm(output.form),
      stream: output.stream,
    })),
    extra: [],
  };
}

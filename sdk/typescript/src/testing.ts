/**
 * A plugin's own unit tests, without WebAssembly: a table, some changes, and what was said of them.
 * What a gateway would make of it is for `offtake plugin test`; this shows a mistake at its line.
 */

import gateway from "offtake:transform/state@1.0.0";
import { Batch, type ImageName, type Metadata, type Operation, type RawColumn } from "./batch";
import type { Plugin } from "./plugin";
import { column, Schema } from "./schema";
import { MISSING, packed, type Field } from "./value";
import { Verdict } from "./verdict";

type Lists = Record<string, readonly Field[]>;

/** A definition: `table("public.people", { id: "int8", email: "text" }, ["id"])`. */
export function table(
  name: string, columns: Record<string, string>, key: readonly string[] = [],
): Schema {
  const [namespace = "public", table = name] = name.split(".");
  const ordinals = key.map((name) => Object.keys(columns).indexOf(name));
  const infos = Object.entries(columns).map(([name, logical]) => column(name, logical));
  const place = { id: 1, database: "shop", namespace, table, version: 1, isMessage: false };
  return new Schema({ ...place, columns: infos, key: ordinals, beforeColumns: ordinals });
}

/**
 * Tells a configured plugin the table and runs it over changes: one letter each in `operations`, one
 * value each in the columns that are given.
 */
export function processed(
  plugin: Pick<Plugin, "onSchema" | "process">,
  schema: Schema,
  operations: string,
  after: Lists,
  before: Lists = {},
  metadata: Metadata | null = null,
): Verdict {
  const raw = (lists: Lists) => new Map(Object.entries(lists).map(([name, fields]) => {
    const { kind } = schema.column(name)!;
    const { presence, data } = packed(kind, fields, name);
    const values: unknown[] = Array.from(data as ArrayLike<unknown>);
    const lifted = kind === "boolean" ? values.map(Boolean) : values;
    return [name, { kind, presence, data: lifted } satisfies RawColumn];
  }));
  const interest = plugin.onSchema(schema);
  const letters = [...operations] as Operation[];
  const batch = new Batch(schema, letters, raw(before), raw(after), metadata);
  const verdict = new Verdict(batch, interest);
  plugin.process(batch, verdict);
  return verdict;
}

interface Patch {
  image: ImageName;
  rows: Uint32Array;
  column: { ordinal: number; presence: Uint8Array; data: { tag: string; val: ArrayLike<unknown> } };
}

/** The values that were set in a column of an image, by row. */
export function valuesSet(verdict: Verdict, image: ImageName, name: string): Map<number, Field> {
  const found = new Map<number, Field>();
  const { ordinal } = verdict.column(name);
  for (const patch of verdict.finish().set as Patch[]) {
    if (patch.image !== image || patch.column.ordinal !== ordinal) continue;
    const { presence, data: { tag, val } } = patch.column;
    Array.from(val).forEach((value, at) => {
      const code = presence[at] ?? 0;
      const field = code === 0 ? value : MISSING[code];
      const lifted = code === 0 && tag === "boolean" ? Boolean(value) : field;
      found.set(patch.rows[at] ?? at, lifted as Field);
    });
  }
  return found;
}

/** Empties the `state`, which the tests of a file share. */
export function forgetState(): void {
  (gateway as unknown as { entries: Map<string, Uint8Array> }).entries.clear();
}

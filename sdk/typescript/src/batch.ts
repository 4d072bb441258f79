/** The changes of one call: columns of one table, as arrays with one value a row. */

import { Failure } from "./failure";
import { parseJson, type Json } from "./json";
import type { Schema } from "./schema";
import { ABSENT, MISSING, UNCHANGED, type Field, type Kind } from "./value";

/** Of a change: c created, u updated, d deleted, r read by a snapshot, t truncated, m message. */
export type Operation = "c" | "u" | "d" | "r" | "t" | "m";
export type ImageName = "before" | "after";
export const IMAGES: readonly ImageName[] = ["before", "after"];

/**
 * A column as it was sent: rows without a value have a zero in `data` and a code in `presence`,
 * which is empty where every row has one. Integers are `bigint`.
 */
export interface RawColumn {
  readonly kind: Kind;
  readonly presence: Uint8Array;
  readonly data: readonly unknown[];
}

/**
 * The columns of an image that the plugin asked for. Where it did not ask for before images there
 * are none in `batch.before`.
 */
export class Columns {
  private readonly lists = new Map<string, Field[]>();

  constructor(private readonly schema: Schema, private readonly raw: Map<string, RawColumn>) {}

  /** The names of the columns. */
  get names(): string[] {
    return [...this.raw.keys()];
  }

  /** Whether there is the column. */
  has(name: string): boolean {
    return this.raw.has(name);
  }

  /** A column, one value a row, or `null` (NULL), `UNCHANGED` or `ABSENT`. */
  get(name: string): readonly Field[] {
    const known = this.lists.get(name);
    if (known !== undefined) return known;
    const { presence, data } = this.column(name);
    const fields = data as Field[];
    const list = presence.length === 0
      ? fields
      : fields.map((field, at) => (presence[at] ? MISSING[presence[at]!]! as Field : field));
    this.lists.set(name, list);
    return list;
  }

  /** A column of JSON, read by `parseJson`. */
  json(name: string): (Json | typeof UNCHANGED | typeof ABSENT)[] {
    return this.get(name).map((field) =>
      (typeof field === "string" ? parseJson(field) : field as null | typeof UNCHANGED));
  }

  /** A column as it was sent. */
  column(name: string): RawColumn {
    const column = this.raw.get(name);
    if (column === undefined) {
      throw new Failure(`column ${name} of ${this.schema.qualifiedName} was not asked for`);
    }
    return column;
  }
}

/** What the interest asked for, one element a row; the other lists are empty. */
export interface Metadata {
  /** Where a change stands in the database's log, as opaque text. */
  readonly positions: readonly string[];
  /**
   * 0 no snapshot, 1 first row of all, 2 a row, 3 last of its table, 4 last of all, 5 first of its
   * table.
   */
  readonly snapshot: Uint8Array;
  /** Microseconds since 1970-01-01 UTC; 0 for rows of a snapshot. */
  readonly commitTimes: readonly bigint[];
  /** The database's own name of the transaction; `null` for rows of a snapshot. */
  readonly transactions: readonly (string | null)[];
  /** Place in the transaction, or of a snapshot's row in its table, from 1. */
  readonly transactionOrder: readonly bigint[];
  /** Headers of the rows that have some. */
  readonly headers: ReadonlyMap<number, readonly (readonly [string, Uint8Array])[]>;
}

/** Changes of one table in source order, at least one. */
export class Batch {
  readonly before: Columns;
  readonly after: Columns;

  constructor(
    readonly schema: Schema,
    /** What happened, row by row. */
    readonly operations: readonly Operation[],
    before: Map<string, RawColumn>,
    after: Map<string, RawColumn>,
    /** What the interest asked for; `null`: nothing. */
    readonly metadata: Metadata | null = null,
  ) {
    this.before = new Columns(schema, before);
    this.after = new Columns(schema, after);
  }

  /** Number of changes. */
  get rows(): number {
    return this.operations.length;
  }
}

/** A table's definition, as the gateway tells it before the table's changes. */

import { Failure } from "./failure";
import type { Kind } from "./value";

/** Logical types whose values have a kind of their own; all others travel as text. */
const KINDS: Record<string, Kind> = {
  bool: "boolean",
  int1: "int64", int2: "int64", int4: "int64", int8: "int64", oid: "int64",
  uint1: "uint64", uint2: "uint64", uint4: "uint64", uint8: "uint64",
  float4: "float64", float8: "float64",
  bytes: "bytes",
};
/** Logical types whose values are any text. */
const FREE_TEXT = ["text", "string", "varchar", "char", "bpchar", "character", "citext", "name"];

/** A column. */
export interface ColumnInfo {
  readonly name: string;
  readonly kind: Kind;
  /** The type in terms that do not depend on the database: `decimal(12,2)`, `uuid`. */
  readonly logical: string;
  /** The database's own name of the type. */
  readonly native: string;
  readonly nullable: boolean;
  /** An enum's labels. */
  readonly labels: readonly string[];
}

/**
 * A column that may be NULL, of a logical type: `text`, `int4`, `int8`, `float8`, `bool`, `bytes`,
 * `decimal(12,2)`, `timestamptz`, `uuid`, `json`. `change` says what is otherwise.
 */
export function column(name: string, logical: string, change: Partial<ColumnInfo> = {}): ColumnInfo {
  const kind = Object.hasOwn(KINDS, logical) ? KINDS[logical]! : "text";
  return { name, kind, logical, native: "", nullable: true, labels: [], ...change };
}

/**
 * Whether any text is a proper value. Numbers, times, JSON and lists travel as text too, but only
 * some texts are their values.
 */
export function isFreeText(info: ColumnInfo): boolean {
  return info.kind === "text" && FREE_TEXT.includes(info.logical.split("(")[0]!);
}

/** What a `Schema` is made of. */
export interface SchemaFields {
  readonly id: number;
  readonly database: string;
  readonly namespace: string;
  readonly table: string;
  /** Counts definitions of the same table. */
  readonly version: number;
  /** Whether this describes logical messages, with the columns `prefix` and `content`. */
  readonly isMessage: boolean;
  readonly columns: readonly ColumnInfo[];
  /** Ordinals of the key's columns in key order; empty: no key. */
  readonly key: readonly number[];
  /** Ordinals of the columns that before images of updates and deletes are known to have. */
  readonly beforeColumns: readonly number[];
}

export interface Schema extends SchemaFields {}

/** A table's definition. */
export class Schema {
  private readonly ordinals: ReadonlyMap<string, number>;

  constructor(fields: SchemaFields) {
    Object.assign(this, fields);
    this.ordinals = new Map(fields.columns.map((info, at) => [info.name, at]));
  }

  /** The table as a person writes it: `public.orders`. */
  get qualifiedName(): string {
    return `${this.namespace}.${this.table}`;
  }

  /** Where the column of that name stands; `undefined`: there is none. */
  ordinal(name: string): number | undefined {
    return this.ordinals.get(name);
  }

  /** The column of that name; `undefined`: there is none. */
  column(name: string): ColumnInfo | undefined {
    const at = this.ordinals.get(name);
    return at === undefined ? undefined : this.columns[at];
  }

  /** A failure to throw that names the table, a column and its type. */
  refuse(info: ColumnInfo, reason: string): Failure {
    return new Failure(`${this.qualifiedName}.${info.name} has type ${info.native}: ${reason}`);
  }
}

/** What a plugin says of itself and wants of a table, and how the table's changes leave it. */

import { Failure } from "./failure";
import type { ColumnInfo, Schema } from "./schema";

/** Name and version, for log lines and records. */
export interface Info {
  readonly name: string;
  readonly version: string;
  /**
   * Columns that the plugin keeps from being seen. The gateway then fails closed: both images are
   * always sent, no failure lets a change pass, and the pipeline stops when one of the columns is
   * in none of the plugin's tables, or when a table loses one. An empty array protects what the
   * plugin asks for.
   */
  readonly protects?: readonly string[];
  /** It uses `state`, and the gateway's configuration grants it. */
  readonly keepsState?: boolean;
}

/** How what leaves on the table's own stream differs from what came. */
export interface Shape {
  remove: number[];
  retype: [number, ColumnInfo][];
  add: ColumnInfo[];
  key: number[] | null;
  stream: string | null;
  name: [string, string] | null;
}

/** Before and after images, the row alone, or one column as it is. */
export type Form = "envelope" | "flat" | { payload: number; contentType: string };

type Want = "beforeImage" | "headers" | "positions" | "commitTimes" | "transactions";

function ordinals(columns: readonly ColumnInfo[], names: Iterable<string>, owner: string): number[] {
  const found = new Set<number>();
  for (const name of names) {
    const at = columns.findIndex((info) => info.name === name);
    if (at < 0) throw new Failure(`${owner} has no column ${name}`);
    found.add(at);
  }
  return [...found];
}

/** Rows beside the table's own: a definition, and where they go. */
export class Output {
  readonly key: number[];
  readonly form: Form;
  readonly stream: string | null;

  /**
   * Without `stream` the rows leave on the table's own. `opaque` names a column that leaves as it
   * is in place of the row, and its content type.
   */
  constructor(
    readonly name: string,
    readonly columns: readonly ColumnInfo[],
    options: { key?: string[]; stream?: string; opaque?: [string, string]; flat?: boolean } = {},
  ) {
    const owner = `the output ${name}`;
    this.key = ordinals(columns, options.key ?? [], owner);
    this.stream = options.stream ?? null;
    this.form = options.flat ? "flat" : "envelope";
    if (options.opaque !== undefined) {
      const [payload] = ordinals(columns, [options.opaque[0]], owner);
      this.form = { payload: payload!, contentType: options.opaque[1] };
    }
  }
}

/** What a plugin wants to see of a table. The methods change it and give it back. */
export class Interest {
  readonly wants = new Set<Want>();
  readonly outputs: Output[] = [];
  shape: Shape | null = null;
  form: Form | null = null;

  private constructor(
    readonly schema: Schema, readonly subscribe: boolean, readonly columns: number[],
  ) {}

  /** Nothing: the plugin is not called for this table. */
  static none(schema: Schema): Interest {
    return new Interest(schema, false, []);
  }

  /**
   * The after images of those of the named columns that the table has. Where it has none of them,
   * the same as `none`.
   */
  static inColumns(schema: Schema, names: Iterable<string>): Interest {
    const found = [...new Set(names)].map((name) => schema.ordinal(name));
    const known = found.filter((ordinal) => ordinal !== undefined);
    return new Interest(schema, known.length > 0, known);
  }

  /** The after images of every column. */
  static inAllColumns(schema: Schema): Interest {
    return new Interest(schema, true, schema.columns.map((_, at) => at));
  }

  /** Every change without any column, for plugins that look at operations only. */
  static inOperations(schema: Schema): Interest {
    return new Interest(schema, true, []);
  }

  /** The before images as well. A plugin that protects gets them unasked. */
  withBeforeImages(): this {
    return this.want("beforeImage");
  }

  /** Positions and snapshot markers as well, see `Batch.metadata`. */
  withPositions(): this {
    return this.want("positions");
  }

  /** Commit times as well. */
  withCommitTimes(): this {
    return this.want("commitTimes");
  }

  /** Transactions as well. */
  withTransactions(): this {
    return this.want("transactions");
  }

  /** Positions, commit times and transactions as well. */
  withMetadata(): this {
    return this.withPositions().withCommitTimes().withTransactions();
  }

  /** Headers that earlier plugins of the chain added as well. */
  withHeaders(): this {
    return this.want("headers");
  }

  /**
   * From here on the table's key is these columns, in this order; none: no key. They are named as
   * they leave, so say this last. Choose columns that the replica identity has.
   */
  keyedBy(names: Iterable<string>): this {
    this.reshape().key = ordinals(this.wideColumns(), names, this.schema.qualifiedName);
    return this;
  }

  /** Those of the columns that the table has do not leave. */
  withoutColumns(names: Iterable<string>): this {
    const { remove } = this.reshape();
    for (const name of names) {
      const ordinal = this.schema.ordinal(name);
      if (ordinal !== undefined && !remove.includes(ordinal)) remove.push(ordinal);
    }
    return this;
  }

  /**
   * A column of the table is from now on what is said here. Where its type is another one, the
   * plugin sets every value of it.
   */
  withColumnAs(name: string, info: ColumnInfo): this {
    const [ordinal] = ordinals(this.schema.columns, [name], this.schema.qualifiedName);
    this.reshape().retype.push([ordinal!, info]);
    return this;
  }

  /** A column of the table leaves under another name. */
  withColumnRenamed(name: string, newName: string): this {
    const [ordinal] = ordinals(this.schema.columns, [name], this.schema.qualifiedName);
    return this.withColumnAs(name, { ...this.schema.columns[ordinal!]!, name: newName });
  }

  /** A further column, behind those of the table. Where it is not set it is NULL. */
  withColumn(info: ColumnInfo): this {
    this.reshape().add.push(info);
    return this;
  }

  /** The table's changes leave on this stream instead of the route's. */
  onStream(stream: string): this {
    this.reshape().stream = stream;
    return this;
  }

  /** Sinks name the table's rows so, instead of by the table's own name. */
  named(namespace: string, table: string): this {
    this.reshape().name = [namespace, table];
    return this;
  }

  /** The row alone leaves instead of before and after images. */
  flat(): this {
    this.form = "flat";
    return this;
  }

  /** The value of one column leaves as it is, with its content type. */
  opaque(name: string, contentType: string): this {
    const [payload] = ordinals(this.wideColumns(), [name], this.schema.qualifiedName);
    this.form = { payload: payload!, contentType };
    return this;
  }

  /** Rows may be emitted on this output, see `Verdict.emit`. */
  withOutput(output: Output): this {
    this.outputs.push(output);
    return this;
  }

  /** Columns as a verdict counts them: the table's as they are now defined, then those added. */
  wideColumns(): ColumnInfo[] {
    const columns = [...this.schema.columns];
    for (const [ordinal, info] of this.shape?.retype ?? []) columns[ordinal] = info;
    return columns.concat(this.shape?.add ?? []);
  }

  private want(want: Want): this {
    this.wants.add(want);
    return this;
  }

  private reshape(): Shape {
    this.shape ??= { remove: [], retype: [], add: [], key: null, stream: null, name: null };
    return this.shape;
  }
}

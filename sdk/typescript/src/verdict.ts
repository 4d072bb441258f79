/** What becomes of a batch. Saying nothing of a row lets it pass. */

import { IMAGES, type Batch, type ImageName, type Operation } from "./batch";
import { checkedPartition, Emitter, wireColumn, wireHeader, type Emission } from "./emission";
import { Failure } from "./failure";
import type { Interest } from "./interest";
import type { Field, Kind, Value } from "./value";

/** A row of the batch, or several. */
export type Rows = number | Iterable<number>;

/** What becomes of a batch, filled in by the plugin. Columns are named as they leave. */
export class Verdict {
  private readonly columns: Map<string, { ordinal: number; kind: Kind }>;
  private readonly patches: object[] = [];
  /** Values set row by row, put together so that a column is one patch. */
  private readonly single = {
    before: new Map<string, Map<number, Field>>(),
    after: new Map<string, Map<number, Field>>(),
  };
  private readonly dropped = new Set<number>();
  private readonly operations = new Map<number, Operation>();
  private readonly streams = new Map<number, string>();
  private readonly partitions = new Map<number, number>();
  private readonly routes: object[] = [];
  private readonly failures = new Map<number, Failure>();
  private readonly emitters: Emitter[];

  constructor(private readonly batch: Batch, interest: Interest) {
    const columns = interest.wideColumns();
    this.columns = new Map(columns.map(({ name, kind }, ordinal) => [name, { ordinal, kind }]));
    this.emitters = interest.outputs.map((output) => new Emitter(output));
  }

  /**
   * Sets a column of an image: in `rows`, which are ascending and have one value each, or in all.
   * Of two values for the same place the last one counts. `null`, `UNCHANGED` and `ABSENT` say what
   * they say in a batch. A row that lacks the image takes `ABSENT` only, and `UNCHANGED` is for
   * values that are.
   */
  set(image: ImageName, name: string, fields: readonly Field[], rows?: readonly number[]): void {
    const { ordinal, kind } = this.column(name);
    const expected = rows?.length ?? this.batch.rows;
    if (fields.length !== expected) {
      throw new Failure(`column ${name} was set to ${fields.length} values for ${expected} rows`);
    }
    if (fields.length === 0) return;
    if (rows !== undefined) {
      this.each(rows);
      if (rows.some((row, at) => at > 0 && rows[at - 1]! >= row)) {
        throw new Failure("a column was set in rows that are not ascending");
      }
    }
    this.gather(image, name);
    const column = wireColumn(ordinal, kind, fields, name);
    this.patches.push({ image, column, rows: Uint32Array.from(rows ?? []) });
  }

  /** Sets the value of one row in an image. */
  setField(image: ImageName, name: string, row: number, field: Field): void {
    this.column(name);
    this.each(row);
    const fields = this.single[image].get(name) ?? new Map<number, Field>();
    this.single[image].set(name, fields.set(row, field));
  }

  /**
   * Applies a function to the values of a column in both images, as far as the plugin asked for
   * them. What is NULL, unchanged or absent stays, and so does a table that has no such column. The
   * cheapest way to change a column.
   */
  map<T extends Value>(name: string, change: (value: T) => Field): void {
    const sent = this.sent(name);
    if (sent === undefined) return;
    for (const image of IMAGES) {
      const columns = this.batch[image];
      if (!columns.has(sent)) continue;
      const { presence, data } = columns.column(sent);
      if (presence.length === 0) {
        const fields: Field[] = [];
        for (const value of data as T[]) fields.push(change(value));
        this.set(image, name, fields);
        continue;
      }
      const rows = data.flatMap((_, row) => (presence[row] === 0 ? row : []));
      this.set(image, name, rows.map((row) => change(data[row] as T)), rows);
    }
  }

  /** Leaves rows out. Wins over everything else that is said of them. */
  drop(rows: Rows): void {
    for (const row of this.each(rows)) this.dropped.add(row);
  }

  /**
   * Makes changes of another kind of rows, for example an update that leaves a filter a delete: c,
   * u or d.
   */
  setOperation(rows: Rows, operation: Operation): void {
    for (const row of this.each(rows)) this.operations.set(row, operation);
  }

  /** Sends rows to another stream. */
  setStream(rows: Rows, stream: string): void {
    for (const row of this.each(rows)) this.streams.set(row, stream);
  }

  /** Chooses the partition of rows' messages in Kafka, modulo the partitions of the topic. */
  setPartition(rows: Rows, partition: number): void {
    checkedPartition(partition);
    for (const row of this.each(rows)) this.partitions.set(row, partition);
  }

  /** Adds a header to rows; one of the same name is replaced. */
  setHeader(rows: Rows, name: string, value: Uint8Array | string): void {
    this.route(this.each(rows), { addHeaders: [wireHeader([name, value])] });
  }

  /** Removes a header from rows. */
  removeHeader(rows: Rows, name: string): void {
    this.route(this.each(rows), { removeHeaders: [name] });
  }

  /**
   * Fails one row; what happens to it is the operator's choice (`on_error`). The message must not
   * repeat values of rows. The first word counts.
   */
  fail(row: number, message: string, permanent = true): void {
    this.each(row);
    if (!this.failures.has(row)) this.failures.set(row, new Failure(message, permanent));
  }

  /**
   * Emits a row of an output, beside the change of the row `parent`. Created and read rows have an
   * after image, deleted ones a before image alone. Of one parent, the rows of the first output
   * come first.
   */
  emit(output: string, parent: number, row: Emission): void {
    const emitter = this.emitters.find((known) => known.output.name === output);
    if (emitter === undefined) {
      throw new Failure(`a row was emitted on the output ${output}, which was not declared`);
    }
    this.each(parent);
    emitter.emit(parent, row);
  }

  /** The verdict as the contract has it. */
  finish() {
    for (const image of IMAGES) {
      for (const name of this.single[image].keys()) this.gather(image, name);
    }
    const partitioned = [...this.partitions.keys()].sort(ascending);
    const partitions = Uint32Array.from(partitioned, (row) => this.partitions.get(row)!);
    this.route(partitioned, { partitions });
    for (const stream of [...new Set(this.streams.values())].sort()) {
      const sent = [...this.streams.keys()].filter((row) => this.streams.get(row) === stream);
      this.route(sent.sort(ascending), { stream });
    }
    return {
      drop: Uint32Array.from([...this.dropped].sort(ascending)),
      set: this.patches,
      ops: [...this.operations].map(([row, letter]) => ({ row, op: letter.charCodeAt(0) })),
      routes: this.routes,
      emit: this.emitters.flatMap((emitter, at) => (emitter.isEmpty ? [] : [emitter.finish(at)])),
      failures: [...this.failures].map(([row, { message, permanent }]) =>
        ({ row, failure: { message, permanent } })),
      extra: [],
    };
  }

  private route(rows: readonly number[], said: object): void {
    // Without rows it would mean all of them.
    if (rows.length === 0) return;
    const silent = { stream: null, partitions: [], addHeaders: [], removeHeaders: [] };
    this.routes.push({ ...silent, rows: Uint32Array.from(rows), ...said });
  }

  private gather(image: ImageName, name: string): void {
    const fields = this.single[image].get(name);
    if (fields === undefined) return;
    this.single[image].delete(name);
    const rows = [...fields.keys()].sort(ascending);
    this.set(image, name, rows.map((row) => fields.get(row)!), rows);
  }

  /** Ordinal and kind of a column by its name as it leaves. */
  column(name: string): { ordinal: number; kind: Kind } {
    const found = this.columns.get(name);
    if (found === undefined) {
      const table = this.batch.schema.qualifiedName;
      throw new Failure(`column ${name} was set, and ${table} leaves without one of that name`);
    }
    return found;
  }

  /** The name by which the column that leaves as this one came; `undefined`: it was added. */
  private sent(name: string): string | undefined {
    const leaves = this.columns.get(name);
    return leaves === undefined ? name : this.batch.schema.columns[leaves.ordinal]?.name;
  }

  private each(rows: Rows): number[] {
    const listed = typeof rows === "number" ? [rows] : [...new Set(rows)].sort(ascending);
    const known = (row: number) => Number.isInteger(row) && row >= 0 && row < this.batch.rows;
    if (!listed.every(known)) {
      throw new Failure(`a row was named that the ${this.batch.rows} of the batch do not have`);
    }
    return listed;
  }
}

function ascending(one: number, other: number): number {
  return one - other;
}

/** Rows that a plugin emits, given one by one and handed over column by column. */

import type { ImageName } from "./batch";
import { Failure } from "./failure";
import type { Output } from "./interest";
import { encodeText } from "./utf8";
import { ABSENT, packed, type Field, type Kind } from "./value";

/** A row to emit. Columns that are not given are NULL in an after image and absent in a before one. */
export interface Emission {
  /** c, u, d or r; c where it is not said. */
  readonly operation?: "c" | "u" | "d" | "r";
  readonly after?: Record<string, Field>;
  readonly before?: Record<string, Field>;
  readonly stream?: string;
  /** Choose one for every row of an output in a call, or for none. */
  readonly partition?: number;
  readonly headers?: Record<string, Uint8Array | string>;
}

/** A partition as 32 bits. */
export function checkedPartition(partition: number): number {
  if (!Number.isInteger(partition) || partition < 0 || partition >= 2 ** 32) {
    throw new Failure("a partition is a whole number from 0 to 4294967295");
  }
  return partition;
}

/** A header as the contract has it. */
export function wireHeader([name, value]: [string, Uint8Array | string]) {
  return { name, value: typeof value === "string" ? encodeText(value) : value };
}

/** Rows emitted on one output. */
export class Emitter {
  private readonly rows: { parent: number; row: Emission }[] = [];

  constructor(readonly output: Output) {}

  get isEmpty(): boolean {
    return this.rows.length === 0;
  }

  emit(parent: number, row: Emission): void {
    for (const name of [...Object.keys(row.after ?? {}), ...Object.keys(row.before ?? {})]) {
      if (!this.output.columns.some((info) => info.name === name)) {
        throw new Failure(`the output ${this.output.name} has no column ${name}`);
      }
    }
    if (!["c", "u", "d", "r"].includes(row.operation ?? "c")) {
      throw new Failure("an emitted row's operation is one of the letters c, u, d and r");
    }
    if (row.partition !== undefined) checkedPartition(row.partition);
    this.rows.push({ parent, row });
  }

  /** The rows in the order of their parents, as the contract wants them. */
  finish(output: number) {
    const rows = this.rows.sort((one, other) => one.parent - other.parent);
    const partitions = rows.flatMap(({ row }) => row.partition ?? []);
    if (partitions.length > 0 && partitions.length < rows.length) {
      throw new Failure(`only some rows of the output ${this.output.name} have a partition`);
    }
    const headers = rows.map(({ row }, at) =>
      ({ row: at, headers: Object.entries(row.headers ?? {}).map(wireHeader) }));
    const streams = rows.map(({ row }) => row.stream ?? "");
    return {
      output,
      parents: Uint32Array.from(rows, ({ parent }) => parent),
      ops: Uint8Array.from(rows, ({ row }) => (row.operation ?? "c").charCodeAt(0)),
      before: this.columns("before"),
      after: this.columns("after"),
      streams: streams.some((stream) => stream !== "") ? streams : [],
      partitions: Uint32Array.from(partitions),
      headers: headers.filter((given) => given.headers.length > 0),
    };
  }

  private columns(image: ImageName) {
    const missing: Field = image === "after" ? null : ABSENT;
    return this.output.columns.flatMap((info, ordinal) => {
      const given = this.rows.map(({ row }) => row[image]?.[info.name]);
      if (given.every((field) => field === undefined)) return [];
      const fields = given.map((field) => (field === undefined ? missing : field));
      return [wireColumn(ordinal, info.kind, fields, info.name)];
    });
  }
}

/** A column as the contract has it. */
export function wireColumn(ordinal: number, kind: Kind, fields: readonly Field[], name: string) {
  const { presence, data } = packed(kind, fields, name);
  return { ordinal, presence, data: { tag: kind, val: data } };
}

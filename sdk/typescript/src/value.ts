/**
 * Values: those that are none, and the check of what leaves. A value that its column cannot carry
 * has to be found here: past this point the interpreter's bindings would end the whole instance
 * without a word, or bend the value.
 */

import { Failure } from "./failure";

/** A large value that the update left alone; the database does not send it. */
export const UNCHANGED: unique symbol = Symbol("unchanged");
/** Not part of this image, or there is no such image. */
export const ABSENT: unique symbol = Symbol("absent");

/** How values travel. */
export type Kind = "boolean" | "int64" | "uint64" | "float64" | "text" | "bytes";
/** A value: integers are `bigint`, floats `number`; decimals, times and JSON are text. */
export type Value = boolean | bigint | number | string | Uint8Array;
/** A value, or one of three ways to have none: NULL is `null`. */
export type Field = Value | null | typeof UNCHANGED | typeof ABSENT;

/** Presence codes of the contract. */
export const MISSING = [null, null, UNCHANGED, ABSENT] as const;

/** Whether it is a value, and not `null`, `UNCHANGED` or `ABSENT`. */
export function isValue(field: Field): field is Value {
  return field !== null && typeof field !== "symbol";
}

/** A column with a function applied to its values; what is none stays as it is. */
export function mapped<T extends Value>(
  fields: readonly Field[], change: (value: T) => Field,
): Field[] {
  return fields.map((field) => (isValue(field) ? change(field as T) : field));
}

type Data = Uint8Array | BigInt64Array | BigUint64Array | Float64Array | string[] | Uint8Array[];

const EXPECTED: Record<Kind, string> = {
  boolean: "true or false",
  int64: "an integer of 64 bits",
  uint64: "an integer from 0 to 2^64-1",
  float64: "a number",
  text: "a well-formed string",
  bytes: "a Uint8Array",
};

function room(kind: Kind, rows: number): Data {
  switch (kind) {
    case "boolean": return new Uint8Array(rows);
    case "int64": return new BigInt64Array(rows);
    case "uint64": return new BigUint64Array(rows);
    case "float64": return new Float64Array(rows);
    case "text": return new Array<string>(rows).fill("");
    case "bytes": return new Array<Uint8Array>(rows).fill(new Uint8Array(0));
  }
}

/** The value as its column's data takes it; `undefined`: it does not. */
function fitting(kind: Kind, value: unknown): unknown {
  switch (kind) {
    case "boolean": return typeof value === "boolean" ? Number(value) : undefined;
    case "int64":
    case "uint64": {
      const whole = Number.isSafeInteger(value) ? BigInt(value as number) : value;
      if (typeof whole !== "bigint") return undefined;
      const kept = kind === "int64" ? BigInt.asIntN(64, whole) : BigInt.asUintN(64, whole);
      return kept === whole ? whole : undefined;
    }
    case "float64": return typeof value === "number" ? value : undefined;
    // Half of a surrogate pair is no text outside JavaScript.
    case "text": return typeof value === "string" && isWellFormed(value) ? value : undefined;
    case "bytes": return value instanceof Uint8Array ? value : undefined;
  }
}

/** Whether a text has no half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return text.isWellFormed();
}

/** Presence codes and data of a column's values as the contract wants them. */
export function packed(
  kind: Kind, fields: readonly Field[], name: string,
): { presence: Uint8Array; data: Data } {
  if (kind === "text" && areTexts(fields)) return { presence: NONE, data: fields };
  const rows = fields.length;
  const data = room(kind, rows) as unknown[];
  let presence: Uint8Array = NONE;
  for (let at = 0; at < rows; at++) {
    const field = fields[at]!;
    const code = field === null ? 1 : field === UNCHANGED ? 2 : field === ABSENT ? 3 : 0;
    if (code !== 0) {
      if (presence === NONE) presence = new Uint8Array(rows);
      presence[at] = code;
      continue;
    }
    const value = fitting(kind, field);
    if (value === undefined) {
      throw new Failure(`column ${name} was set to something that is not ${EXPECTED[kind]}`);
    }
    data[at] = value;
  }
  return { presence, data: data as unknown as Data };
}

const NONE = new Uint8Array(0);

/** Whether all are well-formed texts, found out at the speed of the interpreter's own functions. */
function areTexts(fields: readonly Field[]): fields is string[] {
  for (let at = 0; at < fields.length; at++) {
    if (typeof fields[at] !== "string") return false;
  }
  // Joined by a character, lest two halves make a pair.
  return isWellFormed(fields.join("\0"));
}

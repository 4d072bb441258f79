/**
 * JSON without lost digits. `JSON.parse` makes every number a float of 64 bits; here one that is
 * another number then stays a text, in a `JsonNumber`.
 */

import { Failure } from "./failure";

/** A number that no `number` is equal to, with its digits. */
export class JsonNumber {
  constructor(readonly text: string) {}
}

export type Json = null | boolean | number | string | JsonNumber | Json[] | { [key: string]: Json };

const TOKEN = /\s*(?:([{}[\]:,])|("(?:[^"\\]|\\.)*")|(-?\d[-+.eE\d]*)|(true|false|null))/y;

/** Reads JSON. */
export function parseJson(text: string): Json {
  try {
    JSON.parse(text); // Judges the syntax, which is then known to be right.
  } catch {
    throw new Failure("a text is no JSON"); // The reason would quote it.
  }
  TOKEN.lastIndex = 0;
  return read(text, token(text));
}

function token(text: string): RegExpExecArray {
  return TOKEN.exec(text)!;
}

function read(text: string, begin: RegExpExecArray): Json {
  const [, mark, quoted, number, word] = begin;
  if (quoted !== undefined) return JSON.parse(quoted) as string;
  if (number !== undefined) return readNumber(number);
  if (word !== undefined) return JSON.parse(word) as boolean | null;
  if (mark === "[") {
    const items: Json[] = [];
    for (let next = token(text); next[1] !== "]"; next = token(text)) {
      if (next[1] !== ",") items.push(read(text, next));
      else items.push(read(text, token(text)));
    }
    return items;
  }
  const members: [string, Json][] = [];
  for (let next = token(text); next[1] !== "}"; next = token(text)) {
    const key = next[1] === "," ? token(text) : next;
    token(text); // the colon
    members.push([JSON.parse(key[2]!) as string, read(text, token(text))]);
  }
  return Object.fromEntries(members);
}

function readNumber(text: string): number | JsonNumber {
  const number = Number(text);
  return Number.isFinite(number) && canonical(numberText(number)) === canonical(text)
    ? number
    : new JsonNumber(text);
}

function numberText(number: number): string {
  return Object.is(number, -0) ? "-0" : String(number);
}

/** Sign, digits and exponent of a number's text, alike for texts of the same number. */
function canonical(text: string): string {
  const [, sign, whole, fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text)!;
  const digits = (whole! + fraction).replace(/^0+/, "");
  const kept = digits.replace(/0+$/, "");
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - kept.length);
  return kept === "" ? `${sign}0` : `${sign}${kept}e${power}`;
}

/** Writes JSON, each `JsonNumber` with its digits. What JSON has not is refused. */
export function jsonText(json: Json): string {
  if (json instanceof JsonNumber) return json.text;
  if (Array.isArray(json)) return `[${json.map(jsonText).join(", ")}]`;
  if (typeof json === "object" && json !== null) {
    const members = Object.entries(json).map(([key, value]) =>
      `${JSON.stringify(key)}: ${jsonText(value)}`);
    return `{${members.join(", ")}}`;
  }
  if (typeof json === "number") {
    if (!Number.isFinite(json)) throw new Failure("JSON has no number that is not finite");
    return numberText(json);
  }
  if (json !== null && typeof json !== "boolean" && typeof json !== "string") {
    throw new Failure("JSON has no such value");
  }
  return JSON.stringify(json);
}

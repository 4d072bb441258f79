/**
 * A plugin's configuration: the `config` table of its TOML. Keys are taken one after the other, and
 * what nobody asked for is refused in the end, so that a misspelt key is found at the start and not
 * by its missing effect.
 */

import { Failure } from "./failure";

function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  switch (typeof value) {
    case "boolean": return "true or false";
    case "number": return "a number";
    case "string": return "a string";
    default: return "an object";
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The keys of the configuration. Take what is known, then call `finish`. */
export class Config {
  private readonly members: Map<string, unknown>;
  private readonly asked: string[] = [];

  constructor(members: Record<string, unknown>, private readonly place = "") {
    this.members = new Map(Object.entries(members));
  }

  /** Reads a JSON object; an empty text has no keys. */
  static fromJson(text: string): Config {
    let members: unknown;
    try {
      members = text === "" ? {} : JSON.parse(text);
    } catch {
      throw new Failure("config: it is no JSON");
    }
    if (!isObject(members)) {
      throw new Failure(`config: must be an object, not ${describe(members)}`);
    }
    return new Config(members);
  }

  /** The keys that nobody took. */
  rest(): string[] {
    return [...this.members.keys()];
  }

  /** Takes the value of a key as JSON gives it; `undefined`: there is none. */
  take(key: string): unknown {
    this.asked.push(key);
    const value = this.members.get(key);
    this.members.delete(key);
    return value;
  }

  /** Takes a string. */
  text(key: string): string | undefined {
    return this.typed(key, "a string", (value) => typeof value === "string");
  }

  /** Takes a string that must be there. */
  requiredText(key: string): string {
    const text = this.text(key);
    if (text === undefined) throw this.refuse(key, "is missing");
    return text;
  }

  /** Takes an array of strings. */
  texts(key: string): string[] | undefined {
    return this.typed(key, "an array of strings", (value) =>
      Array.isArray(value) && value.every((item) => typeof item === "string"));
  }

  /** Takes a whole number from 0 to 4,294,967,295. */
  count(key: string): number | undefined {
    const value = this.typed<number>(key, "a whole number", (it) => typeof it === "number");
    if (value !== undefined && !(Number.isInteger(value) && value >= 0 && value < 2 ** 32)) {
      throw this.refuse(key, "must be a whole number from 0 to 4294967295");
    }
    return value;
  }

  /** Takes true or false. */
  boolean(key: string): boolean | undefined {
    return this.typed(key, "true or false", (value) => typeof value === "boolean");
  }

  /** Takes an array of objects. */
  objects(key: string): Config[] | undefined {
    const values = this.typed<Record<string, unknown>[]>(key, "an array of objects", (value) =>
      Array.isArray(value) && value.every(isObject));
    return values?.map((item, at) => new Config(item, `${this.place}${key}[${at}].`));
  }

  /** A failure to throw that names a key. */
  refuse(key: string, reason: string): Failure {
    return new Failure(`config: \`${this.place}${key}\` ${reason}`);
  }

  /** Ends the reading. Call it before judging values: a misspelt key is the likelier mistake. */
  finish(): void {
    const [key] = this.rest();
    if (key !== undefined) {
      const known = this.asked.join(", ");
      throw new Failure(`config: unknown key \`${this.place}${key}\`; known are: ${known}`);
    }
  }

  private typed<T>(key: string, expected: string, fits: (value: unknown) => boolean): T | undefined {
    const value = this.take(key);
    if (value === undefined || fits(value)) return value as T | undefined;
    throw this.refuse(key, `must be ${expected}, not ${describe(value)}`);
  }
}

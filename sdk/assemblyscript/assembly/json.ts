// JSON as the gateway writes it: a small reader, and the writing of texts and lists.
import { Buffer } from "./memory";

export enum JsonKind { Null, False, True, Number, Text, List, Object }

/** A JSON value. A number is kept as it is written, in `text`, so that none is bent. */
export class Json {
  kind: JsonKind = JsonKind.Null;
  text: string = "";
  /** Elements, or the values of members. */
  items: Json[] = [];
  /** Names of members. */
  names: string[] = [];
  /** Whether the configuration was asked for this. */
  used: bool = false;

  /** The member of that name. */
  member(name: string): Json | null {
    const at = this.names.indexOf(name);
    return at < 0 ? null : this.items[at];
  }

  /** The member's text; an empty one where there is none. */
  textOf(name: string): string {
    const member = this.member(name);
    return member ? member.text : "";
  }

  isObject(): bool {
    return this.kind == JsonKind.Object;
  }

  itemsOf(name: string): Json[] {
    const member = this.member(name);
    return member ? member.items : [];
  }

  /** Whether it is an integer of 64 bits. */
  isInteger(): bool {
    if (this.kind != JsonKind.Number) return false;
    const negative = this.text.charCodeAt(0) == 0x2d;
    let value: i64 = 0; // counted below zero, where there is one more
    for (let at = negative ? 1 : 0; at < this.text.length; at++) {
      const digit = this.text.charCodeAt(at) - 0x30;
      if (digit < 0 || digit > 9 || value < i64.MIN_VALUE / 10) return false;
      value *= 10;
      if (value < i64.MIN_VALUE + digit) return false;
      value -= digit;
    }
    return this.text.length > (negative ? 1 : 0) && (negative || value != i64.MIN_VALUE);
  }

  /** The integer; 0 where it is none. */
  integer(): i64 {
    if (!this.isInteger()) return 0;
    let value: i64 = 0;
    const negative = this.text.charCodeAt(0) == 0x2d;
    for (let at = negative ? 1 : 0; at < this.text.length; at++) {
      value = value * 10 - (this.text.charCodeAt(at) - 0x30);
    }
    return negative ? value : -value;
  }
}

const DEPTH = 64;

class Reader {
  at: i32 = 0;
  constructor(private text: string) {}

  private peek(): i32 {
    return this.at < this.text.length ? this.text.charCodeAt(this.at) : -1;
  }

  private space(): void {
    let next = this.peek();
    while (next == 0x20 || next == 0x0a || next == 0x0d || next == 0x09) {
      this.at++;
      next = this.peek();
    }
  }

  private take(wanted: i32): bool {
    this.space();
    if (this.peek() != wanted) return false;
    this.at++;
    return true;
  }

  private word(word: string): bool {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  private string(): string | null {
    if (!this.take(0x22)) return null;
    let begin = this.at;
    let result = "";
    while (true) {
      const next = this.peek();
      if (next < 0) return null;
      this.at++;
      if (next == 0x22) return result + this.text.substring(begin, this.at - 1);
      if (next != 0x5c) continue;
      result += this.text.substring(begin, this.at - 1);
      const escaped = this.peek();
      this.at++;
      const known = "\"\\/bfnrt".indexOf(String.fromCharCode(escaped));
      if (known >= 0) {
        result += "\"\\/\b\f\n\r\t".charAt(known);
      } else {
        // Two halves of a pair, one after the other, are a character again.
        const digits = this.text.substr(this.at, 4);
        const code = I32.parseInt("0x" + digits);
        if (escaped != 0x75 || digits.length != 4) return null;
        result += String.fromCharCode(code);
        this.at += 4;
      }
      begin = this.at;
    }
  }

  private children(parent: Json, closing: i32, depth: i32): bool {
    if (this.take(closing)) return true;
    do {
      if (closing == 0x7d) {
        const name = this.string();
        if (name === null || !this.take(0x3a)) return false;
        parent.names.push(name);
      }
      const item = this.value(depth + 1);
      if (!item) return false;
      parent.items.push(item);
    } while (this.take(0x2c));
    return this.take(closing);
  }

  value(depth: i32): Json | null {
    this.space();
    const first = this.peek();
    if (first < 0 || depth > DEPTH) return null;
    const value = new Json();
    if (first == 0x7b || first == 0x5b) {
      this.at++;
      value.kind = first == 0x7b ? JsonKind.Object : JsonKind.List;
      return this.children(value, first == 0x7b ? 0x7d : 0x5d, depth) ? value : null;
    }
    if (first == 0x22) {
      const text = this.string();
      if (text === null) return null;
      value.kind = JsonKind.Text;
      value.text = text;
      return value;
    }
    if (this.word("null")) return value;
    if (this.word("true")) { value.kind = JsonKind.True; return value; }
    if (this.word("false")) { value.kind = JsonKind.False; return value; }
    const begin = this.at;
    while ("0123456789+-.eE".indexOf(String.fromCharCode(this.peek())) >= 0) {
      if (this.peek() < 0) break;
      this.at++;
    }
    value.kind = JsonKind.Number;
    value.text = this.text.substring(begin, this.at);
    return value.text.length ? value : null;
  }

  end(): bool {
    this.space();
    return this.at == this.text.length;
  }
}

/** A JSON value, or null where the text is none. */
export function parseJson(text: string): Json | null {
  const reader = new Reader(text);
  const value = reader.value(0);
  return value && reader.end() ? value : null;
}

const HEX = "0123456789abcdef";

/** A text in quotes. */
export function quoted(text: string): string {
  let result = "\"";
  let begin = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code != 0x22 && code != 0x5c && code >= 0x20) continue;
    result += text.substring(begin, at);
    result += code < 0x20 ? "\\u00" + HEX.charAt(code >> 4) + HEX.charAt(code & 15)
      : "\\" + String.fromCharCode(code);
    begin = at + 1;
  }
  return result + text.substring(begin) + "\"";
}

export function quotedList(texts: string[]): string {
  const all: string[] = [];
  for (let at = 0; at < texts.length; at++) all.push(quoted(texts[at]));
  return "[" + all.join(",") + "]";
}

export function numberList(numbers: u32[]): string {
  return "[" + numbers.join(",") + "]";
}

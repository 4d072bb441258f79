/** UTF-8, which the interpreter of a component has no `TextEncoder` and `TextDecoder` for. */

import { Failure } from "./failure";
import { isWellFormed } from "./value";

/** The text's bytes. Half of a surrogate pair is refused. */
export function encodeText(text: string): Uint8Array {
  if (!isWellFormed(text)) throw new Failure("a text with half of a surrogate pair has no bytes");
  const bytes = new Uint8Array(text.length * 3);
  let end = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) {
      bytes[end++] = unit;
      continue;
    }
    const code = text.codePointAt(at)!;
    if (code < 0x800) bytes[end++] = 0xc0 | (code >> 6);
    else {
      if (code < 0x10000) bytes[end++] = 0xe0 | (code >> 12);
      else {
        at++; // the other half of the pair
        bytes[end++] = 0xf0 | (code >> 18);
        bytes[end++] = 0x80 | ((code >> 12) & 63);
      }
      bytes[end++] = 0x80 | ((code >> 6) & 63);
    }
    bytes[end++] = 0x80 | (code & 63);
  }
  return bytes.slice(0, end);
}

/** The bytes' text. Bytes that are no UTF-8 are refused. */
export function decodeText(bytes: Uint8Array): string {
  const parts: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at]!;
    if (first < 0x80) {
      parts.push(String.fromCharCode(first));
      at += 1;
      continue;
    }
    const more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    let code = first & (0x3f >> more);
    for (let next = at + 1; next <= at + more; next++) {
      const byte = bytes[next] ?? 0;
      if ((byte & 0xc0) !== 0x80) throw new Failure("bytes are no UTF-8");
      code = (code << 6) | (byte & 63);
    }
    const least = [0, 0x80, 0x800, 0x10000][more]!;
    const isSurrogate = code >= 0xd800 && code < 0xe000;
    if (first < 0xc0 || first > 0xf7 || code < least || code > 0x10ffff || isSurrogate) {
      throw new Failure("bytes are no UTF-8");
    }
    parts.push(String.fromCodePoint(code));
    at += more + 1;
  }
  return parts.join("");
}

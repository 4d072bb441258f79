// What a plugin keeps: keys and values, framed as abi.md says.
import { Buffer } from "./memory";

// @ts-ignore: decorator
@external("offtake", "state_get_many")
declare function importedGetMany(pointer: usize, length: u32): u32;
// @ts-ignore: decorator
@external("offtake", "state_read")
declare function importedRead(to: usize): void;
// @ts-ignore: decorator
@external("offtake", "state_put_many")
declare function importedPutMany(pointer: usize, length: u32, seconds: i64): void;
// @ts-ignore: decorator
@external("offtake", "state_delete_many")
declare function importedDeleteMany(pointer: usize, length: u32): void;

/** In place of seconds: the values do not end. */
export const NO_END: i64 = -1;

/** A key with its value. */
export class Entry {
  constructor(public key: Uint8Array, public value: Uint8Array) {}
}

const frame = new Buffer();

function writeKeys(keys: Uint8Array[]): void {
  frame.clear();
  frame.u32(keys.length);
  for (let at = 0; at < keys.length; at++) frame.packedText(keys[at].dataStart, keys[at].length);
}

/**
 * What the plugin keeps, with the position: after a crash both are as of the same change, and of a
 * call that fails nothing is kept. It is there in `process` alone, for a plugin that says
 * `info.keepingState()`. A call of it costs more than a key in one: ask for all keys of a batch at
 * once.
 */
export abstract class State {
  /** One value a key, in the order of the keys; null where there is none. */
  static getMany(keys: Uint8Array[]): Array<Uint8Array | null> {
    writeKeys(keys);
    const length = importedGetMany(frame.data, frame.length);
    frame.clear();
    let from = frame.extend(length);
    importedRead(from);
    const values = new Array<Uint8Array | null>(keys.length);
    for (let at = 0; at < keys.length; at++) {
      const exists = load<u32>(from) == 1;
      from += 4;
      if (!exists) continue;
      const size = load<u32>(from);
      const value = new Uint8Array(size);
      memory.copy(value.dataStart, from + 4, size);
      values[at] = value;
      from += 4 + ((size + 3) & ~3);
    }
    return values;
  }

  /** Sets values, which are gone once so many seconds have passed, by commit times. */
  static putMany(entries: Entry[], seconds: i64 = NO_END): void {
    frame.clear();
    frame.u32(entries.length);
    for (let at = 0; at < entries.length; at++) {
      const entry = entries[at];
      frame.packedText(entry.key.dataStart, entry.key.length);
      frame.packedText(entry.value.dataStart, entry.value.length);
    }
    importedPutMany(frame.data, frame.length, seconds);
  }

  /** Deletes values, where there are some. */
  static deleteMany(keys: Uint8Array[]): void {
    writeKeys(keys);
    importedDeleteMany(frame.data, frame.length);
  }
}

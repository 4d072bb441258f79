/**
 * What a plugin keeps from one change to the next, over fresh instances and restarts.
 *
 * Keys and values are bytes; a string becomes its UTF-8. The gateway keeps them with the position:
 * after a crash both are as of the same change, and a call that fails leaves nothing of what it
 * wrote. What a call wrote it reads back at once. Ask for all keys of a batch in one go: each
 * function is one call of the gateway.
 *
 * A plugin that uses this is built with state, says `keepsState: true` in its `Info` and is granted
 * it (`state = {}` under `[plugin.NAME]`). It may be used in `process` and nowhere else. Limits:
 * 4 KiB a key, 1 MiB a value, 16 MiB read and 16 MiB written a call, and the quota.
 *
 * In a plugin's own unit tests it is a map in which nothing ends; `forgetState` of `offtake/testing`
 * empties it.
 */

import gateway from "offtake:transform/state@1.0.0";
import { Failure } from "./failure";
import { encodeText } from "./utf8";

/** A key or a value. */
export type Data = Uint8Array | string;

/** The value of a key; `undefined`: there is none. */
function get(key: Data): Uint8Array | undefined {
  return getMany([key])[0];
}

/** The values of keys, in their order. */
function getMany(keys: Iterable<Data>): (Uint8Array | undefined)[] {
  return gateway.getMany(listed(keys)).map((value) => value ?? undefined);
}

/** Sets a value. With `ttlSeconds` it is gone once so many seconds have passed, by commit times. */
function put(key: Data, value: Data, ttlSeconds?: number): void {
  putMany([[key, value]], ttlSeconds);
}

/** Sets values, as `put` does: of a `Map`, or of pairs. */
function putMany(entries: Iterable<readonly [Data, Data]>, ttlSeconds?: number): void {
  const isNumber = Number.isInteger(ttlSeconds) && ttlSeconds! >= 0 && ttlSeconds! < 2 ** 32;
  if (ttlSeconds !== undefined && !isNumber) {
    throw new Failure("what is kept ends after a whole number of seconds from 0 to 4294967295");
  }
  const pairs = Array.from(entries, ([key, value]): [Uint8Array, Uint8Array] =>
    [bytes(key), bytes(value)]);
  // The bindings take 32 bits as a signed number, and bend others.
  gateway.putMany(pairs, ttlSeconds === undefined ? null : ttlSeconds | 0);
}

/** Deletes an entry, if there is one. */
function remove(key: Data): void {
  deleteMany([key]);
}

/** Deletes entries. */
function deleteMany(keys: Iterable<Data>): void {
  gateway.deleteMany(listed(keys));
}

/** Keyed state that is kept with the position. */
export const state = { get, getMany, put, putMany, delete: remove, deleteMany };

function listed(keys: Iterable<Data>): Uint8Array[] {
  // These are iterable too: their letters and bytes would be the keys.
  if (typeof keys === "string" || keys instanceof Uint8Array) {
    throw new Failure("keys of the state come as an array; for one there is a function of its own");
  }
  return Array.from(keys, bytes);
}

function bytes(data: Data): Uint8Array {
  if (typeof data === "string") return encodeText(data);
  if (data instanceof Uint8Array) return data;
  throw new Failure("a key or a value of the state is a Uint8Array or a string");
}

/**
 * Write a plugin for the Offtake gateway: a class with three methods, and
 * `export const plugin = component(Mask);`.
 *
 * A plugin sees the changes of a database on their way to the gateway's log, up to 256 at a time and
 * only the columns that it asked for, and says what becomes of them. What holds for every plugin:
 *
 * - No file, network, clock or randomness. Equal batches give equal answers, and cutting the same
 *   changes into other batches changes nothing. What a plugin keeps in `this` is a cache: the
 *   gateway may start a fresh instance between two calls.
 * - Saying nothing passes everything. Only what the verdict names is touched.
 * - A value is there, or it is `null` (NULL), or `UNCHANGED` (a large value that the update left
 *   alone; the database does not send it), or `ABSENT` (not in this image). They differ.
 * - An exception fails the call and names its place, never its text: that might quote a row. Throw
 *   a `Failure` to say something; what it says must not repeat values of rows.
 */

export { Batch, Columns } from "./batch";
export type { ImageName, Metadata, Operation } from "./batch";
export { component } from "./component";
export { Config } from "./config";
export type { Emission } from "./emission";
export { Failure } from "./failure";
export { Counter, Histogram, log } from "./host";
export type { Level } from "./host";
export { Interest, Output } from "./interest";
export type { Info } from "./interest";
export { JsonNumber, jsonText, parseJson } from "./json";
export type { Json } from "./json";
export type { Plugin } from "./plugin";
export { mapRows } from "./rows";
export type { Place, Row } from "./rows";
export { column, isFreeText, Schema } from "./schema";
export type { ColumnInfo } from "./schema";
export { state } from "./state";
export type { Data } from "./state";
export { decodeText, encodeText } from "./utf8";
export { ABSENT, isValue, mapped, UNCHANGED } from "./value";
export type { Field, Kind, Value } from "./value";
export { Verdict } from "./verdict";

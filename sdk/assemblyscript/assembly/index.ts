// Write a plugin for the Offtake gateway in AssemblyScript: a class with three methods. README.md goes
// from nothing to a tested plugin; the classes named here are the reference.
//
// What holds for every plugin:
// - No surroundings. No file, network, clock or randomness; equal batches give equal answers, and
//   cutting the same changes into other batches changes nothing. What a plugin keeps is a cache: the
//   gateway may start a fresh instance between two calls.
// - Saying nothing passes everything. Only what the verdict names is touched.
// - Four states. A column of a row has a value, or is NULL, or is unchanged (a large value that the
//   update left alone; the database does not send it), or absent (not in this image).
// - Failures name no values. Messages and log lines end up in files; rows must not.
// - Columns, cells and rows belong to the call that gave them.
export { register } from "./abi";
export { Batch, Column, Header, Image, Presence, characterLength } from "./batch";
export { Cell } from "./cell";
export { Emission } from "./emission";
export { Counter, Histogram, Level, log } from "./host";
export { Json, JsonKind } from "./json";
export { Plugin } from "./plugin";
export { Row } from "./row";
export { ColumnInfo, Config, Failure, Info, Interest, Kind, Output, Schema } from "./schema";
export { Entry, NO_END, State } from "./state";
export { Verdict } from "./verdict";

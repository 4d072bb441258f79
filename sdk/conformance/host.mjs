// A small host of core modules for tests under node: writes batch frames and reads verdict frames
// as abi.md says, on its own, so that an SDK's mistake cannot cancel out with the test's.
// It is no gateway: it applies nothing and limits nothing.

import { standIns } from "./wasi.mjs";

const KINDS = ["boolean", "int64", "uint64", "float64", "text", "bytes"];
const PRESENCES = [null, null, "unchanged", "absent"];

/** A value that is none: NULL is `null`. */
export const UNCHANGED = Symbol("unchanged");
export const ABSENT = Symbol("absent");

class Writer {
  bytes = [];
  u8(value) { this.bytes.push(value & 255); }
  u32(value) { for (let at = 0; at < 4; at++) this.u8(value >>> (8 * at)); }
  word(set) {
    const view = new DataView(new ArrayBuffer(8));
    set(view);
    for (let at = 0; at < 8; at++) this.u8(view.getUint8(at));
  }
  raw(bytes) { for (const byte of bytes) this.u8(byte); }
  pad(to) { while (this.bytes.length % to) this.u8(0); }
  text(text) { const bytes = utf8(text); this.u32(bytes.length); this.raw(bytes); this.pad(4); }
  packed(values) {
    let end = 0;
    this.u32(0);
    for (const bytes of values) this.u32(end += bytes.length);
    for (const bytes of values) this.raw(bytes);
  }
}

const utf8 = (text) => typeof text === "string" ? new TextEncoder().encode(text) : text ?? [];
const presenceOf = (value) =>
  value === null ? 1 : value === UNCHANGED ? 2 : value === ABSENT ? 3 : 0;

function writeColumn(out, { ordinal, kind, values }) {
  const presence = values.map(presenceOf);
  const present = values.map((value, at) => presence[at] ? undefined : value);
  const some = presence.some((one) => one !== 0);
  out.u32(ordinal);
  out.u8(KINDS.indexOf(kind));
  out.u8(some ? 1 : 0);
  out.raw([0, 0]);
  if (some) out.raw(presence);
  out.pad(8);
  if (kind === "boolean") out.raw(present.map((value) => value ? 1 : 0));
  else if (kind === "text" || kind === "bytes") out.packed(present.map(utf8));
  else for (const value of present) out.word((view) => {
    if (kind === "float64") view.setFloat64(0, value ?? 0, true);
    else view.setBigUint64(0, BigInt.asUintN(64, BigInt(value ?? 0)), true);
  });
  out.pad(8);
}

/** A batch frame. `meta`: positions, snapshot, commitTimes, transactions, order, headers. */
export function batchFrame({ schema, ops, after = [], before = [], meta = {} }) {
  const out = new Writer();
  const which = (meta.positions ? 1 : 0) | (meta.commitTimes ? 2 : 0) |
    (meta.transactions ? 4 : 0) | (meta.headers ? 8 : 0);
  out.raw(utf8("OTB1"));
  for (const value of [schema, ops.length, after.length, before.length, which]) out.u32(value);
  out.raw(utf8(ops));
  out.pad(8);
  for (const column of [...after, ...before]) writeColumn(out, column);
  const words = (values) => values.forEach((value) =>
    out.word((view) => view.setBigInt64(0, BigInt(value), true)));
  if (which & 1) {
    out.packed(meta.positions.map(utf8));
    out.pad(8);
    out.raw(meta.snapshot);
    out.pad(8);
  }
  if (which & 2) words(meta.commitTimes);
  if (which & 4) {
    out.packed(meta.transactions.map(utf8));
    out.pad(8);
    words(meta.order);
  }
  if (which & 8) {
    out.u32(meta.headers.length);
    for (const [row, pairs] of meta.headers) {
      out.u32(row);
      out.u32(pairs.length);
      for (const [name, value] of pairs) { out.text(name); out.text(value); }
    }
    out.pad(8);
  }
  return Uint8Array.from(out.bytes);
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 0;
  }
  take(length) {
    if (this.at + length > this.bytes.length) throw new Error("the frame is too short");
    this.at += length;
    return this.bytes.slice(this.at - length, this.at);
  }
  u8() { return this.take(1)[0]; }
  u32() { this.take(4); return this.view.getUint32(this.at - 4, true); }
  pad(to) {
    while (this.at % to) if (this.u8() !== 0) throw new Error("padding is not zero");
  }
  list(count, read) { return Array.from({ length: count }, () => read()); }
  bytesText() { const bytes = this.take(this.u32()); this.pad(4); return bytes; }
  text() { return new TextDecoder("utf-8", { fatal: true }).decode(this.bytesText()); }
}

function readColumn(frame, count) {
  const ordinal = frame.u32();
  const kind = KINDS[frame.u8()];
  const hasPresence = frame.u8();
  if (!kind || hasPresence > 1 || frame.u8() || frame.u8()) throw new Error("no column");
  const presence = hasPresence ? [...frame.take(count)] : new Array(count).fill(0);
  frame.pad(8);
  let values;
  if (kind === "boolean") values = frame.list(count, () => frame.u8() === 1);
  else if (kind === "text" || kind === "bytes") {
    const offsets = frame.list(count + 1, () => frame.u32());
    const data = frame.take(offsets[count]);
    values = offsets.slice(1).map((end, at) => {
      if (end < offsets[at]) throw new Error("offsets descend");
      const bytes = data.slice(offsets[at], end);
      return kind === "text" ? new TextDecoder("utf-8", { fatal: true }).decode(bytes) : [...bytes];
    });
  } else values = frame.list(count, () => {
    frame.take(8);
    const at = frame.at - 8;
    return kind === "float64" ? frame.view.getFloat64(at, true)
      : kind === "int64" ? frame.view.getBigInt64(at, true) : frame.view.getBigUint64(at, true);
  });
  frame.pad(8);
  return { ordinal, kind, values: values.map((value, at) => presence[at] ? PRESENCES[presence[at]] : value) };
}

const pair = (frame) => [frame.text(), new TextDecoder().decode(frame.bytesText())];

const SECTIONS = {
  1: (frame, end) => ({ drop: frame.list((end - frame.at) / 4, () => frame.u32()) }),
  2: (frame, _, rows) => {
    const image = ["before", "after"][frame.u32()];
    const named = frame.list(frame.u32(), () => frame.u32());
    frame.pad(8);
    const { ordinal, kind, values } = readColumn(frame, named.length || rows);
    return { set: image, ordinal, kind, rows: named.length ? named : "all", values };
  },
  3: (frame, end) => ({ ops: frame.list((end - frame.at) / 8, () => [frame.u32(), String.fromCharCode(frame.u32())]) }),
  4: (frame) => {
    const route = { route: frame.list(frame.u32(), () => frame.u32()) };
    if (frame.u32()) route.stream = frame.text();
    route.partitions = frame.list(frame.u32(), () => frame.u32());
    route.add = frame.list(frame.u32(), () => pair(frame));
    route.remove = frame.list(frame.u32(), () => frame.text());
    return route;
  },
  5: (frame) => {
    const emitted = { emit: frame.u32() };
    const count = frame.u32();
    emitted.parents = frame.list(count, () => frame.u32());
    emitted.ops = String.fromCharCode(...frame.take(count));
    frame.pad(4);
    emitted.streams = frame.list(frame.u32(), () => frame.text());
    emitted.partitions = frame.list(frame.u32(), () => frame.u32());
    emitted.headers = frame.list(frame.u32(), () => [frame.u32(), frame.list(frame.u32(), () => pair(frame))]);
    const [after, before] = [frame.u32(), frame.u32()];
    frame.pad(8);
    emitted.after = frame.list(after, () => readColumn(frame, count));
    emitted.before = frame.list(before, () => readColumn(frame, count));
    return emitted;
  },
  6: (frame, end) => {
    const failures = [];
    while (frame.at < end) failures.push({ row: frame.u32(), permanent: frame.u32() === 1, message: frame.text() });
    return { failures };
  },
};

/** A verdict frame's sections, or the failure of the whole call. */
export function readVerdict(bytes, rows) {
  if (bytes.length === 0) return [];
  const frame = new Reader(bytes);
  const magic = new TextDecoder().decode(frame.take(4));
  if (magic === "OTF1") {
    const failure = { permanent: frame.u32() === 1, message: frame.text() };
    return { failure };
  }
  if (magic !== "OTV1") throw new Error(`no frame: ${magic}`);
  const sections = frame.list(frame.u32(), () => {
    const kind = frame.u32();
    const end = frame.u32() + frame.at;
    if (!SECTIONS[kind]) throw new Error(`section ${kind}`);
    const section = SECTIONS[kind](frame, end, rows);
    if (frame.at !== end) {
      // A set's column is padded within the body.
      throw new Error(`a section of kind ${kind} ends at ${end}, was read to ${frame.at}`);
    }
    frame.pad(8);
    return section;
  });
  if (frame.at !== bytes.length) throw new Error("bytes behind the last section");
  return sections;
}

/** An instance of a module. */
export class Instance {
  logs = [];
  counts = [];
  constructor(bytes) {
    const text = (at, length) => new TextDecoder().decode(new Uint8Array(this.exports.memory.buffer, at, length));
    this.exports = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      offtake: {
        log: (level, at, length) => this.logs.push([level, text(at, length)]),
        counter: (at, length) => this.counts.push([text(at, length), 0]) - 1,
        histogram: (at, length) => this.counts.push([text(at, length), 0]) - 1,
        add: (id, delta) => { this.counts[id][1] += delta; },
        observe: (id, value) => { this.counts[id][1] = value; },
      },
      wasi_snapshot_preview1: standIns(() => this.exports.memory, (stream, text) => this.logs.push([stream + 1, text])),
    }).exports;
    this.exports._initialize?.();
    if (this.exports.offtake_abi_version() !== 1) throw new Error("another version of the ABI");
  }
  call(name, input) {
    const at = this.exports.offtake_alloc(input.length) >>> 0;
    if (at === 0 || at % 8) throw new Error(`offtake_alloc gave ${at}`);
    new Uint8Array(this.exports.memory.buffer).set(input, at);
    const answer = BigInt.asUintN(64, this.exports[name](at, input.length));
    // Nothing is said by 0 as a whole: an address with the length 0 is a frame that is too short.
    if (answer !== 0n && (answer & 0xffffffffn) === 0n) throw new Error("an empty answer at an address");
    const [begin, length] = [Number(answer >> 32n), Number(answer & 0xffffffffn)];
    return new Uint8Array(this.exports.memory.buffer).slice(begin, begin + length);
  }
  json(name, input) {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(this.call(name, utf8(JSON.stringify(input)))));
  }
  configure(config) { return this.json("offtake_configure", config); }
  onSchema(schema) { return this.json("offtake_on_schema", schema); }
  process(batch) { return readVerdict(this.call("offtake_process", batchFrame(batch)), batch.ops.length); }
}

/** A table of columns `[name, kind]`. */
export function table(id, columns, more = {}) {
  return {
    id, subject: "table", database: "shop", namespace: "public", table: "people", version: 1,
    columns: columns.map(([name, kind]) => ({ name, kind, logical: kind, native: kind, nullable: true, labels: [] })),
    key: [0], "before-columns": [0], extra: [], ...more,
  };
}

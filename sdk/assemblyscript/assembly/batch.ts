// The changes of one call, read in place from what the gateway wrote: no copies until a text is asked
// for as a string. The frame is the gateway's, so well formed; lengths are checked all the same.
import { Kind, Schema } from "./schema";

export enum Image { Before, After }

/** Why a row has a value in a column, or has none. */
export enum Presence { Value, Null, Unchanged, Absent }

/** Walks a frame. What is past the end is zero, and is told by `failed`. */
// @ts-ignore: decorator
@final
export class Frame {
  failed: bool = false;
  constructor(public begin: usize, public at: usize, public end: usize) {}

  take(size: u64): usize {
    const at = this.at;
    if (this.failed || size > <u64>(this.end - at)) {
      this.failed = true;
      return 0;
    }
    this.at += <usize>size;
    return at;
  }

  u32(): u32 {
    const at = this.take(4);
    return at ? load<u32>(at) : 0;
  }

  pad(alignment: u32): void {
    this.take((0 - <u32>(this.at - this.begin)) & (alignment - 1));
  }
}

/** A column of an image. Rows that have no value hold a zero or an empty text. */
// @ts-ignore: decorator
@unmanaged
export class Column {
  ordinal: u32 = 0;
  kind: Kind = Kind.Boolean;
  /** Where values, presence and offsets lie; 0 for the latter two: there is none. */
  private values: usize = 0;
  private presences: usize = 0;
  private offsets: usize = 0;

  presence(row: u32): Presence {
    return this.presences ? <Presence>load<u8>(this.presences + row) : Presence.Value;
  }
  hasValue(row: u32): bool {
    return !this.presences || load<u8>(this.presences + row) == 0;
  }

  // One of these by the column's kind.
  boolean(row: u32): bool {
    return load<u8>(this.values + row) != 0;
  }
  int64(row: u32): i64 {
    return load<i64>(this.values + (<usize>row << 3));
  }
  uint64(row: u32): u64 {
    return load<u64>(this.values + (<usize>row << 3));
  }
  float64(row: u32): f64 {
    return load<f64>(this.values + (<usize>row << 3));
  }

  /** Where a text's UTF-8, or bytes, lie in memory, and how long they are. */
  pointer(row: u32): usize {
    return this.values + load<u32>(this.offsets + (<usize>row << 2));
  }
  length(row: u32): u32 {
    const at = this.offsets + (<usize>row << 2);
    return load<u32>(at, 4) - load<u32>(at);
  }

  /** A text as a string, which is allocated. */
  text(row: u32): string {
    return String.UTF8.decodeUnsafe(this.pointer(row), this.length(row));
  }

  /** Bytes, copied. */
  bytes(row: u32): Uint8Array {
    const length = this.length(row);
    const copy = new Uint8Array(length);
    if (length) memory.copy(copy.dataStart, this.pointer(row), length);
    return copy;
  }

  read(frame: Frame, rows: u32): void {
    this.ordinal = frame.u32();
    const head = frame.u32();
    this.kind = <Kind>(head & 255);
    if ((head & 255) > <u32>Kind.Bytes) frame.failed = true;
    this.presences = head & 0xff00 ? frame.take(rows) : 0;
    frame.pad(8);
    if (this.kind >= Kind.Text) {
      this.offsets = frame.take((<u64>rows + 1) * 4);
      this.values = frame.take(this.offsets ? load<u32>(this.offsets + (<usize>rows << 2)) : 0);
    } else {
      this.values = frame.take(this.kind == Kind.Boolean ? rows : <u64>rows * 8);
    }
    frame.pad(8);
  }
}

/** A header that an earlier plugin added. */
export class Header {
  constructor(public name: string, public value: Uint8Array) {}
}

/** The length in bytes of the character (Unicode scalar value) that begins here. */
// @ts-ignore: decorator
@inline
export function characterLength(pointer: usize): u32 {
  const first = load<u8>(pointer);
  return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/** Changes of one table in source order, at least one. */
// @ts-ignore: decorator
@final
export class Batch {
  rows: u32 = 0;
  private operations: usize = 0;
  private after: Column[] = [];
  private before: Column[] = [];
  private afterCount: i32 = 0;
  private beforeCount: i32 = 0;
  private positions: usize = 0;
  private snapshots: usize = 0;
  private times: usize = 0;
  private transactions: usize = 0;
  private orders: usize = 0;
  private headersAt: usize = 0;
  private headersNext: usize = 0;
  private headersLeft: u32 = 0;
  private headersRow: u32 = 0;
  private end: usize = 0;
  constructor(public schema: Schema) {}

  /** One letter: c, u, d, r (read by a snapshot), t (truncated) or m (logical message). */
  operation(row: u32): u8 {
    return load<u8>(this.operations + row);
  }

  /** A column of an image, or null where it was not wanted. */
  column(image: Image, ordinal: i32): Column | null {
    const interest = this.schema.interest;
    if (!interest || <u32>ordinal >= <u32>interest.places.length) return null;
    const place = interest.places[ordinal];
    if (image == Image.Before) return <u32>place < <u32>this.beforeCount ? this.before[place] : null;
    return <u32>place < <u32>this.afterCount ? this.after[place] : null;
  }

  /** Whether a row has an image, as far as the plugin sees it: a column that is not absent. */
  hasImage(image: Image, row: u32): bool {
    const columns = image == Image.Before ? this.before : this.after;
    const count = image == Image.Before ? this.beforeCount : this.afterCount;
    for (let at = 0; at < count; at++) {
      if (columns[at].presence(row) != Presence.Absent) return true;
    }
    return false;
  }

  // What the interest asked for; else empty or 0.

  /** Opaque text: where the change stands in the database's log. */
  position(row: u32): string {
    return this.packed(this.positions, row);
  }
  /** 0 none, 1 first row of all, 2 a row, 3 last of its table, 4 last of all, 5 first of its table. */
  snapshot(row: u32): u32 {
    return this.snapshots ? load<u8>(this.snapshots + row) : 0;
  }
  /** Microseconds since 1970; 0 for rows of a snapshot. */
  commitTime(row: u32): i64 {
    return this.times ? load<i64>(this.times + (<usize>row << 3)) : 0;
  }
  /** Opaque text; empty for rows of a snapshot. */
  transaction(row: u32): string {
    return this.packed(this.transactions, row);
  }
  /** Place in the transaction, from 1. */
  transactionOrder(row: u32): u64 {
    return this.orders ? load<u64>(this.orders + (<usize>row << 3)) : 0;
  }

  private packed(offsets: usize, row: u32): string {
    if (!offsets) return "";
    const data = offsets + (<usize>this.rows + 1) * 4;
    const begin = load<u32>(offsets + (<usize>row << 2));
    return String.UTF8.decodeUnsafe(data + begin, load<u32>(offsets + (<usize>row << 2), 4) - begin);
  }

  /** Headers that earlier plugins added to the row. */
  headers(row: u32): Header[] {
    const found: Header[] = [];
    if (!this.headersAt) return found;
    // Rows are most often asked for in their order: on from where the last search ended.
    if (row < this.headersRow || !this.headersNext) {
      this.headersNext = this.headersAt + 4;
      this.headersLeft = load<u32>(this.headersAt);
    }
    this.headersRow = row;
    const frame = new Frame(this.headersAt, this.headersNext, this.end);
    while (this.headersLeft && !frame.failed) {
      const owner = frame.u32();
      if (owner > row) break;
      for (let count = frame.u32(); count && !frame.failed; count--) {
        const name = this.headerText(frame, owner == row);
        const value = this.headerText(frame, owner == row);
        if (owner == row) found.push(new Header(String.UTF8.decode(name.buffer), value));
      }
      if (owner == row) break;
      this.headersNext = frame.at;
      this.headersLeft--;
    }
    return found;
  }

  private headerText(frame: Frame, wanted: bool): Uint8Array {
    const length = frame.u32();
    const at = frame.take(length);
    const copy = new Uint8Array(at && wanted ? length : 0);
    if (wanted && at && length) memory.copy(copy.dataStart, at, length);
    frame.pad(4);
    return copy;
  }

  private static columns(frame: Frame, into: Column[], count: u32, rows: u32): void {
    for (let at: u32 = 0; at < count && !frame.failed; at++) {
      if (<i32>at == into.length) into.push(new Column());
      into[at].read(frame, rows);
    }
  }

  /** Reads what follows the schema in a frame; false: it is none. */
  read(frame: Frame): bool {
    this.rows = frame.u32();
    this.afterCount = frame.u32();
    this.beforeCount = frame.u32();
    const metadata = frame.u32();
    this.operations = frame.take(this.rows);
    frame.pad(8);
    Batch.columns(frame, this.after, this.afterCount, this.rows);
    Batch.columns(frame, this.before, this.beforeCount, this.rows);
    this.positions = metadata & 1 ? this.takePacked(frame) : 0;
    this.snapshots = metadata & 1 ? frame.take(this.rows) : 0;
    frame.pad(8);
    this.times = metadata & 2 ? frame.take(<u64>this.rows * 8) : 0;
    this.transactions = metadata & 4 ? this.takePacked(frame) : 0;
    this.orders = metadata & 4 ? frame.take(<u64>this.rows * 8) : 0;
    this.headersAt = metadata & 8 ? frame.at : 0;
    this.headersNext = 0;
    this.end = frame.end;
    return !frame.failed;
  }

  private takePacked(frame: Frame): usize {
    const offsets = frame.take((<u64>this.rows + 1) * 4);
    frame.take(offsets ? load<u32>(offsets + (<usize>this.rows << 2)) : 0);
    frame.pad(8);
    return offsets;
  }
}

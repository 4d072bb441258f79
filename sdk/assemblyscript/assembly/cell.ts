// A column that is being set: of the batch's rows, or of an output's emitted rows.
import { Column, Image, Presence } from "./batch";
import { Buffer } from "./memory";
import { Kind } from "./schema";

/** The plugin's own mistake, told in place of the verdict. */
// @ts-ignore: decorator
@final
export class Mistake {
  message: string | null = null;
  note(message: string): void {
    if (this.message === null) this.message = message;
  }
}

/** The value that is being set: of the row that was begun last. */
// @ts-ignore: decorator
@final
export class Cell {
  count: u32 = 0;
  private lastRow: u32 = 0;
  private rows: Buffer = new Buffer();
  /** A byte each, from the first value that is missing on. */
  private presences: Buffer = new Buffer();
  private missing: bool = false;
  private offsets: Buffer = new Buffer();
  private data: Buffer = new Buffer();
  constructor(public image: Image, public ordinal: u32, public kind: Kind, private mistake: Mistake) {}

  clear(): void {
    this.count = 0;
    this.missing = false;
    this.rows.clear();
    this.presences.clear();
    this.offsets.clear();
    this.data.clear();
  }

  /** A further value: a zero, an empty text. */
  begin(row: u32): void {
    if (this.count && this.lastRow >= row) {
      this.mistake.note("a column's rows were set out of order, or one twice");
    }
    this.lastRow = row;
    this.rows.u32(row);
    if (this.missing) this.presences.u8(Presence.Value);
    if (this.kind >= Kind.Text) this.offsets.u32(this.data.length);
    else if (this.kind == Kind.Boolean) this.data.u8(0);
    else store<u64>(this.data.extend(8), 0);
    this.count++;
  }

  /** Values that were not set, up to `rows` of them. */
  fill(rows: u32): void {
    while (this.count < rows) {
      this.begin(this.count);
      this.setMissing(this.image == Image.Before ? Presence.Absent : Presence.Null);
    }
  }

  private is(kind: Kind): bool {
    if (this.kind == kind && this.count) return true;
    this.mistake.note("a column was set to a value of another kind");
    return false;
  }

  private isText(): bool {
    return this.is(this.kind == Kind.Bytes ? Kind.Bytes : Kind.Text);
  }

  private get last(): usize {
    return this.data.data + this.data.length;
  }

  // Sets the value; it is of the column's kind, else the call fails and says so.

  setBoolean(value: bool): void {
    if (this.is(Kind.Boolean)) store<u8>(this.last - 1, value ? 1 : 0);
  }
  setInt64(value: i64): void {
    if (this.is(Kind.Int64)) store<i64>(this.last - 8, value);
  }
  setUint64(value: u64): void {
    if (this.is(Kind.Uint64)) store<u64>(this.last - 8, value);
  }
  setFloat64(value: f64): void {
    if (this.is(Kind.Float64)) store<f64>(this.last - 8, value);
  }
  setText(value: string): void {
    if (!this.is(Kind.Text)) return;
    this.rewind();
    this.data.string(value);
  }
  setBytes(value: Uint8Array): void {
    if (!this.is(Kind.Bytes)) return;
    this.rewind();
    this.data.bytes(value.dataStart, value.length);
  }

  private rewind(): void {
    this.data.length = load<u32>(this.offsets.data + this.offsets.length - 4);
  }

  /** NULL, unchanged or absent. */
  setMissing(presence: Presence): void {
    if (!this.missing) {
      this.missing = true;
      memory.fill(this.presences.extend(this.count), 0, this.count);
    }
    store<u8>(this.presences.data + this.count - 1, <u8>presence);
  }
  setNull(): void {
    this.setMissing(Presence.Null);
  }

  /** The value of a row in a column of the same kind, or its lack of one. */
  setFrom(column: Column, row: u32): void {
    if (!column.hasValue(row)) {
      this.setMissing(column.presence(row));
    } else if (!this.is(column.kind)) {
      return;
    } else if (column.kind >= Kind.Text) {
      this.rewind();
      this.data.bytes(column.pointer(row), column.length(row));
    } else if (column.kind == Kind.Boolean) {
      this.setBoolean(column.boolean(row));
    } else {
      // As bits, whatever they mean.
      store<i64>(this.last - 8, column.int64(row));
    }
  }

  // A text or bytes written in place, piece by piece.

  write(text: string): void {
    if (this.isText()) this.data.string(text);
  }
  /** UTF-8, or bytes, that lie in memory. */
  writeFrom(pointer: usize, length: u32): void {
    if (this.isText()) this.data.bytes(pointer, length);
  }
  /** An ASCII character several times. */
  writeRepeated(character: u8, times: u32): void {
    if (this.isText() && times) memory.fill(this.data.extend(times), character, times);
  }

  /** As a column of a verdict frame. */
  column(out: Buffer): void {
    out.u32(this.ordinal);
    out.u32(<u32>this.kind | (this.missing ? 1 << 8 : 0));
    if (this.missing) out.append(this.presences);
    out.pad(8);
    if (this.kind >= Kind.Text) {
      out.append(this.offsets);
      out.u32(this.data.length);
    }
    out.append(this.data);
    out.pad(8);
  }

  /** As the rows and the column of a set. `rows`: how many the batch has. */
  set(out: Buffer, rows: u32): void {
    // Ascending rows, each once: as many as there are means all of them, which is said by none.
    const everyRow = this.count == rows;
    out.u32(this.image);
    out.u32(everyRow ? 0 : this.count);
    if (!everyRow) out.append(this.rows);
    out.pad(8);
    this.column(out);
  }
}

/** Columns being set, by image and ordinal, kept from call to call. */
// @ts-ignore: decorator
@final
export class Cells {
  private cells: (Cell | null)[];
  /** Those that are set in this call, in the order of their first use. */
  used: Cell[] = [];
  private last: Cell | null = null;
  private nowhere: Cell | null = null;
  constructor(private kinds: Kind[], private mistake: Mistake) {
    this.cells = new Array<Cell | null>(kinds.length * 2);
  }

  clear(): void {
    for (let at = 0; at < this.used.length; at++) this.used[at].clear();
    this.used.length = 0;
    this.last = null;
  }

  at(image: Image, ordinal: u32): Cell {
    // Most often the same column again.
    const last = this.last;
    if (last && last.ordinal == ordinal && last.image == image) return last;
    return this.find(image, ordinal);
  }

  private find(image: Image, ordinal: u32): Cell {
    const count = <u32>this.kinds.length;
    if (ordinal >= count) {
      this.mistake.note("a column was set that there is not");
      // Somewhere to write to; the call fails.
      let nowhere = this.nowhere;
      if (!nowhere) this.nowhere = nowhere = new Cell(image, ordinal, Kind.Text, this.mistake);
      nowhere.clear();
      return nowhere;
    }
    const place = <u32>image * count + ordinal;
    let cell = this.cells[place];
    if (!cell) {
      cell = new Cell(image, ordinal, this.kinds[ordinal], this.mistake);
      this.cells[place] = cell;
    }
    if (!cell.count) this.used.push(cell);
    this.last = cell;
    return cell;
  }
}

// The conformance plugin in AssemblyScript: the actions on rows as a whole.
import {
  Batch, Cell, Column, Failure, Image, Kind, Presence, Verdict,
} from "offtake-sdk/assembly";

const DELETED: u8 = 0x64;

/** Whether the row has an image that counts. */
export function hasImage(batch: Batch, row: u32): bool {
  return batch.operation(row) != 0x74;
}

/** The image of a row that counts. */
export function imageOf(batch: Batch, row: u32): Image {
  return batch.operation(row) == DELETED ? Image.Before : Image.After;
}

function valueAt(batch: Batch, row: u32, name: string): Column | null {
  if (!hasImage(batch, row)) return null;
  const found = batch.column(imageOf(batch, row), batch.schema.ordinal(name));
  return found && found.hasValue(row) ? found : null;
}

// ---- add

function hex(number: u64, digits: i32): string {
  return number.toString(16).padStart(digits, "0");
}

function fnv1a(pointer: usize, length: u32): u32 {
  let hash: u32 = 0x811c9dc5;
  for (let at: u32 = 0; at < length; at++) hash = (hash ^ load<u8>(pointer + at)) * 0x01000193;
  return hash;
}

function writeText(cell: Cell, letter: string, pointer: usize, length: u32): void {
  cell.write(letter);
  if (length > 64) {
    cell.write("#" + length.toString() + ":" + hex(fnv1a(pointer, length), 8));
    return;
  }
  cell.write(":");
  if (letter == "t") {
    cell.writeFrom(pointer, length);
    return;
  }
  for (let at: u32 = 0; at < length; at++) cell.write(hex(load<u8>(pointer + at), 2));
}

function writeValue(cell: Cell, column: Column, row: u32): void {
  const presence = column.presence(row);
  if (presence == Presence.Null) cell.write("null");
  else if (presence == Presence.Unchanged) cell.write("unchanged");
  else if (presence == Presence.Absent) cell.write("absent");
  else if (column.kind == Kind.Boolean) cell.write(column.boolean(row) ? "true" : "false");
  else if (column.kind == Kind.Int64) cell.write("i:" + column.int64(row).toString());
  else if (column.kind == Kind.Uint64) cell.write("u:" + column.uint64(row).toString());
  else if (column.kind == Kind.Float64) {
    const value = column.float64(row);
    cell.write("f:" + (isNaN(value) ? "nan" : hex(reinterpret<u64>(value), 16)));
  } else {
    writeText(cell, column.kind == Kind.Text ? "t" : "b", column.pointer(row), column.length(row));
  }
}

function writeMetadata(cell: Cell, batch: Batch, row: u32): void {
  cell.write(String.fromCharCode(batch.operation(row)));
  cell.write(" position=" + batch.position(row) + " snapshot=" + batch.snapshot(row).toString());
  cell.write(" committed=" + batch.commitTime(row).toString());
  cell.write(" transaction=" + batch.transaction(row));
  cell.write(" order=" + batch.transactionOrder(row).toString());
  const headers = batch.headers(row);
  cell.write(" headers=" + headers.length.toString());
  for (let at = 0; at < headers.length; at++) {
    cell.write(" " + headers[at].name + "=");
    writeText(cell, "b", headers[at].value.dataStart, headers[at].value.length);
  }
}

function writeImage(cell: Cell, batch: Batch, row: u32, image: Image): void {
  const columns = batch.schema.columns;
  for (let ordinal = 0; ordinal < columns.length; ordinal++) {
    const column = batch.column(image, ordinal);
    if (!column) continue;
    cell.write(image == Image.After ? " after." : " before.");
    cell.write(columns[ordinal].name + "=");
    writeValue(cell, column, row);
  }
}

export function add(batch: Batch, verdict: Verdict): void {
  if (batch.schema.isMessage) return;
  for (let row: u32 = 0; row < batch.rows; row++) {
    if (!hasImage(batch, row)) continue;
    const cell = verdict.cell(imageOf(batch, row), batch.schema.columns.length, row);
    writeMetadata(cell, batch, row);
    writeImage(cell, batch, row, Image.After);
    writeImage(cell, batch, row, Image.Before);
  }
}

// ---- fan-out, route, fail

enum Seen { Operation, Position, Committed, Order, Created, Half }

export function fanOut(batch: Batch, verdict: Verdict): void {
  for (let row: u32 = 0; row < batch.rows; row++) {
    const operation = batch.operation(row);
    const letter = String.fromCharCode(operation);
    const deleted = operation == DELETED;
    const order = batch.transactionOrder(row);
    const image = deleted ? Image.Before : Image.After;
    const emission = verdict.emit(0, row, deleted ? DELETED : 0x63);
    emission.cell(image, Seen.Operation).setText(letter);
    if (letter != "u") {
      const position = Uint8Array.wrap(String.UTF8.encode(batch.position(row)));
      emission.cell(image, Seen.Position).setBytes(position);
    }
    emission.cell(image, Seen.Committed).setInt64(batch.commitTime(row));
    emission.cell(image, Seen.Order).setUint64(order);
    emission.cell(image, Seen.Created).setBoolean(letter == "c");
    emission.cell(image, Seen.Half).setFloat64(<f64>order / 2);
    if (deleted) emission.setStream("seen.deleted");
    emission.setPartition(<u32>(order % 3));
    emission.addHeader("operation", Uint8Array.wrap(String.UTF8.encode(letter)));
  }
}

/** Names of the columns that a row's stream, partition and header come from. */
export class Targets {
  constructor(public stream: string, public partition: string, public header: string) {}
}

/** Whether a stream may be called so. */
function namesAStream(text: string): bool {
  if (text.length > 249) return false;
  let dots = true;
  for (let at = 0; at < text.length; at++) {
    const one = text.charCodeAt(at);
    const lower = one | 0x20;
    const letter = lower >= 0x61 && lower <= 0x7a;
    const digit = one >= 0x30 && one <= 0x39;
    dots = dots && one == 0x2e;
    if (!letter && !digit && one != 0x2e && one != 0x5f && one != 0x2d) return false;
  }
  return !dots;
}

export function route(batch: Batch, verdict: Verdict, targets: Targets): void {
  for (let row: u32 = 0; row < batch.rows; row++) {
    const stream = valueAt(batch, row, targets.stream);
    if (stream && stream.kind == Kind.Text) {
      const name = stream.text(row);
      if (namesAStream(name)) verdict.setStream(row, name);
    }
    const partition = valueAt(batch, row, targets.partition);
    if (partition && partition.kind == Kind.Int64) {
      verdict.setPartition(row, <u32>partition.int64(row));
    }
    const header = valueAt(batch, row, targets.header);
    if (header && header.kind >= Kind.Text) {
      verdict.addHeader(row, targets.header, header.bytes(row));
    }
    const headers = batch.headers(row);
    for (let at = 0; at < headers.length; at++) {
      if (headers[at].name == "remove-me") verdict.removeHeader(row, "remove-me");
    }
  }
}

/** The failure that a row asks for, if it does. */
export function askedFor(batch: Batch, row: u32): Failure | null {
  for (let image = <i32>Image.After; image >= <i32>Image.Before; image--) {
    for (let ordinal = 0; ordinal < batch.schema.columns.length; ordinal++) {
      const column = batch.column(<Image>image, ordinal);
      if (!column || column.kind != Kind.Text || !column.hasValue(row)) continue;
      const text = column.text(row);
      const message = "column " + batch.schema.columns[ordinal].name + " asks for it";
      if (text == "fail") return Failure.permanent(message);
      if (text == "retry") return Failure.transient(message);
    }
  }
  return null;
}

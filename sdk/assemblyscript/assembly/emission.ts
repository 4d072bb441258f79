// Rows that are emitted on an output, beside those of the batch.
import { Image } from "./batch";
import { Cell, Cells, Mistake } from "./cell";
import { Buffer } from "./memory";

/** The row that is being emitted. What is not set is NULL, and absent in a before image. */
// @ts-ignore: decorator
@final
export class Emission {
  rows: u32 = 0;
  private parents: Buffer = new Buffer();
  private operations: Buffer = new Buffer();
  private streams: Buffer = new Buffer();
  private streamCount: u32 = 0;
  private partitions: Buffer = new Buffer();
  private headers: Buffer = new Buffer();
  private rowsWithHeaders: u32 = 0;
  private headerRow: u32 = 0;
  private countAt: u32 = 0;
  constructor(private output: u32, private cells: Cells, private mistake: Mistake) {}

  clear(): void {
    this.rows = this.streamCount = this.rowsWithHeaders = 0;
    this.parents.clear();
    this.operations.clear();
    this.streams.clear();
    this.partitions.clear();
    this.headers.clear();
    this.cells.clear();
  }

  begin(parent: u32, operation: u8): void {
    this.parents.u32(parent);
    this.operations.u8(operation);
    this.rows++;
  }

  /** The cell of a column of the output, to be set; each once. Deleted rows have a before image. */
  cell(image: Image, ordinal: u32): Cell {
    const cell = this.cells.at(image, ordinal);
    cell.fill(this.rows - 1);
    cell.begin(this.rows - 1);
    return cell;
  }

  /** The stream that the row leaves on. */
  setStream(stream: string): void {
    this.fillStreams(this.rows - 1);
    this.streams.text(stream);
    this.streamCount++;
  }

  private fillStreams(rows: u32): void {
    for (; this.streamCount < rows; this.streamCount++) this.streams.u32(0);
  }

  /** For every row of the output in this call, or for none. */
  setPartition(partition: u32): void {
    this.partitions.u32(partition);
  }

  addHeader(name: string, value: Uint8Array): void {
    if (!this.rowsWithHeaders || this.headerRow != this.rows - 1) {
      this.headerRow = this.rows - 1;
      this.rowsWithHeaders++;
      this.headers.u32(this.headerRow);
      this.countAt = this.headers.length;
      this.headers.u32(0);
    }
    const count = this.headers.data + this.countAt;
    store<u32>(count, load<u32>(count) + 1);
    this.headers.text(name);
    this.headers.packedText(value.dataStart, value.length);
  }

  write(out: Buffer): void {
    const partitions = this.partitions.length / 4;
    if (partitions && partitions != this.rows) {
      this.mistake.note("some emitted rows of an output were given a partition, others not");
    }
    out.u32(this.output);
    out.u32(this.rows);
    out.append(this.parents);
    out.append(this.operations);
    out.pad(4);
    if (this.streamCount) this.fillStreams(this.rows);
    out.u32(this.streamCount);
    out.append(this.streams);
    out.u32(partitions);
    out.append(this.partitions);
    out.u32(this.rowsWithHeaders);
    out.append(this.headers);
    this.writeColumns(out);
  }

  private writeColumns(out: Buffer): void {
    const used = this.cells.used;
    let before: u32 = 0;
    for (let at = 0; at < used.length; at++) before += used[at].image == Image.Before ? 1 : 0;
    out.u32(used.length - before);
    out.u32(before);
    out.pad(8);
    for (let image = <i32>Image.After; image >= <i32>Image.Before; image--) {
      for (let at = 0; at < used.length; at++) {
        if (used[at].image != image) continue;
        used[at].fill(this.rows);
        used[at].column(out);
      }
    }
  }
}

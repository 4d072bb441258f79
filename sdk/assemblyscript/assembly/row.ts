// One change after the other, for plugins that do not mind the cost: columns are looked up by their
// names at each access, and texts are strings. README.md has what that takes.
import { Batch, Column, Image, Presence } from "./batch";
import { Cell } from "./cell";
import { Verdict } from "./verdict";

/**
 * An image of a change. The cursor visits every image of each change, in order: an update's before
 * image first, where it has one and before images were wanted, then its after image; of a deleted row
 * the before image, of all others the after image alone. So what `set` covers is covered in both.
 *
 * What is said of the change and not of an image (a row to emit, a stream) is said once: where
 * `isNewest` says so. `Row.newest` visits no other image.
 */
// @ts-ignore: decorator
@final
export class Row {
  /** The image that is read and set; may be chosen until the next visit. */
  image: Image = Image.After;
  index: u32 = 0;
  private visitsNewest: bool = true;
  private droppedNext: u32 = 0;
  constructor(private batch: Batch, private verdict: Verdict, private every: bool = true) {
    this.visit();
  }

  /**
   * A cursor for those who decide by the new row, such as a filter: once a change, the after image, or
   * the before image of a deleted row. What is set is not set in the before image of an update.
   */
  static newest(batch: Batch, verdict: Verdict): Row {
    return new Row(batch, verdict, false);
  }

  private visit(): void {
    this.visitNewest();
    if (this.every && this.image == Image.After && this.batch.hasImage(Image.Before, this.index)) {
      this.visitsNewest = false;
      this.image = Image.Before;
    }
  }

  private visitNewest(): void {
    this.visitsNewest = true;
    this.image = this.operation == 0x64 ? Image.Before : Image.After;
  }

  /** Goes on to the next image, or change; false: there is none. */
  next(): bool {
    if (!this.visitsNewest) {
      this.visitNewest();
      return true;
    }
    if (this.index + 1 >= this.batch.rows) return false;
    this.index++;
    this.visit();
    return true;
  }

  /** Whether it is the row before the change that is read and set. */
  get isBefore(): bool {
    return this.image == Image.Before;
  }

  /**
   * Whether this visit is that of the image that counts: the after image, or the before image of a
   * deleted row. It is so once a change, whatever image was chosen.
   */
  get isNewest(): bool {
    return this.visitsNewest;
  }

  get operation(): u8 {
    return this.batch.operation(this.index);
  }

  column(name: string): Column | null {
    return this.batch.column(this.image, this.batch.schema.ordinal(name));
  }

  presence(name: string): Presence {
    const column = this.column(name);
    return column ? column.presence(this.index) : Presence.Absent;
  }

  /** Whether there is a value; the getters of the column's kind give it. */
  has(name: string): bool {
    return this.presence(name) == Presence.Value;
  }

  private must(name: string): Column {
    const column = this.column(name);
    if (!column) throw new Error("a column was read that was not asked for");
    return column;
  }

  boolean(name: string): bool {
    return this.must(name).boolean(this.index);
  }
  int64(name: string): i64 {
    return this.must(name).int64(this.index);
  }
  uint64(name: string): u64 {
    return this.must(name).uint64(this.index);
  }
  float64(name: string): f64 {
    return this.must(name).float64(this.index);
  }
  text(name: string): string {
    return this.must(name).text(this.index);
  }
  bytes(name: string): Uint8Array {
    return this.must(name).bytes(this.index);
  }

  /** The cell of a column by its name as it leaves, to be set. */
  set(name: string): Cell {
    return this.verdict.cell(this.image, this.verdict.ordinal(name), this.index);
  }

  /** Leaves the change out, in whichever of its images that was said. */
  drop(): void {
    if (this.droppedNext > this.index) return;
    this.droppedNext = this.index + 1;
    this.verdict.drop(this.index);
  }
}

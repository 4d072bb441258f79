// One change after the other, for plugins that do not mind the cost: columns are looked up by their
// names at each access, and texts are strings. README.md has what that takes.
import { Batch, Column, Image, Presence } from "./batch";
import { Cell } from "./cell";
import { Verdict } from "./verdict";

/** A change. Reads and sets the after image, or the before image of a deleted row. */
// @ts-ignore: decorator
@final
export class Row {
  image: Image = Image.After;
  index: u32 = 0;
  constructor(private batch: Batch, private verdict: Verdict) {
    this.choose();
  }

  private choose(): void {
    this.image = this.operation == 0x64 ? Image.Before : Image.After;
  }

  /** Goes on to the next; false: there is none. */
  next(): bool {
    if (this.index + 1 >= this.batch.rows) return false;
    this.index++;
    this.choose();
    return true;
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

  drop(): void {
    this.verdict.drop(this.index);
  }
}

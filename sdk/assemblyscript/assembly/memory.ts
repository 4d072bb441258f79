// Bytes that grow, in memory that the garbage collector does not see: what verdicts are gathered in.
// A buffer is kept from call to call, so that a call in the steady state allocates nothing.

/** What a buffer keeps at most when it is emptied. */
const KEPT: u32 = 1 << 20;

// @ts-ignore: decorator
@unmanaged
export class Buffer {
  data: usize = 0;
  length: u32 = 0;
  private capacity: u32 = 0;

  /** Empties it. */
  clear(): void {
    this.length = 0;
    if (this.capacity > KEPT) {
      heap.free(this.data);
      this.data = 0;
      this.capacity = 0;
    }
  }

  /** Makes room for further bytes and gives where they go; they count as written. */
  extend(size: u32): usize {
    if (this.capacity - this.length < size) this.grow(size);
    const at = this.data + this.length;
    this.length += size;
    return at;
  }

  private grow(size: u32): void {
    const needed = <u64>this.length + size;
    if (needed > 1 << 30) unreachable();
    let capacity = <u64>max<u32>(this.capacity, 128);
    while (capacity < needed) capacity *= 2;
    this.data = this.data ? heap.realloc(this.data, <usize>capacity) : heap.alloc(<usize>capacity);
    this.capacity = <u32>capacity;
  }

  u8(value: u32): void {
    store<u8>(this.extend(1), value);
  }

  u32(value: u32): void {
    store<u32>(this.extend(4), value);
  }

  bytes(from: usize, length: u32): void {
    if (length) memory.copy(this.extend(length), from, length);
  }

  append(other: Buffer): void {
    this.bytes(other.data, other.length);
  }

  /** A text's UTF-8; halves of surrogate pairs alone become U+FFFD. */
  string(text: string): void {
    const length = <u32>String.UTF8.byteLength(text);
    if (length) {
      String.UTF8.encodeUnsafe(
        changetype<usize>(text), text.length, this.extend(length), false, String.UTF8.ErrorMode.REPLACE);
    }
  }

  /** A text with its length before it, padded to 4. */
  text(text: string): void {
    this.u32(<u32>String.UTF8.byteLength(text));
    this.string(text);
    this.pad(4);
  }

  /** The same of UTF-8 that lies in memory. */
  packedText(from: usize, length: u32): void {
    this.u32(length);
    this.bytes(from, length);
    this.pad(4);
  }

  pad(alignment: u32): void {
    const size = (0 - this.length) & (alignment - 1);
    if (size) memory.fill(this.extend(size), 0, size);
  }
}

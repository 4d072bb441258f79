// What the gateway offers a plugin: log lines and metrics.

// @ts-ignore: decorator
@external("offtake", "log")
declare function importedLog(level: u32, pointer: usize, length: u32): void;
// @ts-ignore: decorator
@external("offtake", "counter")
declare function importedCounter(pointer: usize, length: u32): u32;
// @ts-ignore: decorator
@external("offtake", "histogram")
declare function importedHistogram(pointer: usize, length: u32): u32;
// @ts-ignore: decorator
@external("offtake", "add")
declare function importedAdd(id: u32, delta: u32): void;
// @ts-ignore: decorator
@external("offtake", "observe")
declare function importedObserve(id: u32, value: f64): void;

export enum Level { Trace, Debug, Info, Warn, Error }

/** Writes a line to the gateway's log at its debug level. It must not repeat values of rows. */
export function log(level: Level, line: string): void {
  const bytes = Uint8Array.wrap(String.UTF8.encode(line));
  importedLog(level, bytes.dataStart, bytes.length);
}

/** A number that only grows. Made in `configure`. */
export class Counter {
  private id: u32;
  constructor(name: string) {
    const bytes = Uint8Array.wrap(String.UTF8.encode(name));
    this.id = importedCounter(bytes.dataStart, bytes.length);
  }
  add(delta: u32): void {
    importedAdd(this.id, delta);
  }
}

/** A distribution of values. Made in `configure`. */
export class Histogram {
  private id: u32;
  constructor(name: string) {
    const bytes = Uint8Array.wrap(String.UTF8.encode(name));
    this.id = importedHistogram(bytes.dataStart, bytes.length);
  }
  observe(value: f64): void {
    importedObserve(this.id, value);
  }
}

/** What the gateway offers a plugin besides its changes: log lines and metrics. */

import host from "offtake:transform/host@1.0.0";
import { Failure } from "./failure";

export type Level = "trace" | "debug" | "info" | "warn" | "error";

/**
 * Writes a line to the gateway's log. The gateway cuts long lines and limits their rate. Never put a
 * row's value in one.
 */
export function log(level: Level, message: string): void {
  host.log(level, wellFormed(message));
}

/** The text with U+FFFD for each half of a surrogate pair, which is no text outside JavaScript. */
export function wellFormed(text: string): string {
  return text.toWellFormed();
}

/** A counter in the gateway's metrics. Make it in `configure`, add to it once a batch. */
export class Counter {
  private readonly id: number;

  constructor(name: string) {
    this.id = host.counter(wellFormed(name));
  }

  /** Adds a whole number that is not negative. */
  add(delta: number): void {
    if (!Number.isSafeInteger(delta) || delta < 0) throw new Failure("a counter only grows");
    for (let rest = delta; rest > 0; rest -= 2 ** 31 - 1) {
      host.add(this.id | 0, Math.min(rest, 2 ** 31 - 1));
    }
  }
}

/** Observed values in the gateway's metrics. Make it in `configure`. */
export class Histogram {
  private readonly id: number;

  constructor(name: string) {
    this.id = host.histogram(wellFormed(name));
  }

  /** Adds an observation. */
  observe(value: number): void {
    host.observe(this.id | 0, value);
  }
}

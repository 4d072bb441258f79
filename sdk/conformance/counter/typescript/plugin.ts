/** The counter in TypeScript; ../README.md says what it does. */

import {
  column, component, encodeText, Interest, isValue, state,
  type Batch, type Config, type Info, type Plugin, type Schema, type Verdict,
} from "offtake";

/** Bytes of the longest value that is counted: a key of the state may have 4096. */
const LONGEST_KEY = 4000;

class Counter implements Plugin {
  private by = "";
  private into = "";
  private last = 0;
  private seconds: number | undefined;

  configure(config: Config): Info {
    this.by = config.requiredText("by");
    this.into = config.requiredText("into");
    this.last = config.count("last") ?? 0;
    this.seconds = config.count("seconds");
    config.finish();
    return { name: "counter", version: "1.0.0", keepsState: true };
  }

  onSchema(schema: Schema): Interest {
    const by = schema.column(this.by);
    if (by === undefined) return Interest.none(schema);
    if (by.kind !== "text") throw schema.refuse(by, "texts are counted only");
    return Interest.inColumns(schema, [this.by]).withColumn(column(this.into, "int8"));
  }

  process(batch: Batch, verdict: Verdict): void {
    const texts: string[] = [];
    const rows: number[] = [];
    batch.after.get(this.by).forEach((field, row) => {
      if (!isValue(field)) return;
      const text = field as string;
      if (encodeText(text).length > LONGEST_KEY) {
        verdict.fail(row, `a value of column ${this.by} is too long to be a key`);
      } else {
        texts.push(text);
        rows.push(row);
      }
    });
    const asked = [...new Set(texts)];
    const kept = state.getMany(asked);
    const counts = new Map(asked.map((text, at) => [text, counted(kept[at])]));
    const numbers = texts.map((text) => {
      const count = counts.get(text)! + 1;
      counts.set(text, count === this.last ? 0 : count);
      return count;
    });
    verdict.set("after", this.into, numbers, rows);
    const going = [...counts].filter(([, count]) => count > 0);
    state.putMany(going.map(([text, count]) => [text, written(count)] as const), this.seconds);
    state.deleteMany(asked.filter((text) => counts.get(text) === 0));
  }
}

function counted(kept: Uint8Array | undefined): number {
  if (kept === undefined) return 0;
  return Number(new DataView(kept.buffer, kept.byteOffset).getBigUint64(0, true));
}

function written(count: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(count), true);
  return bytes;
}

export const plugin = component(Counter);

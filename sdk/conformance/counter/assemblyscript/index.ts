// The counter in AssemblyScript; ../README.md says what it does.
import {
  Batch, ColumnInfo, Config, Entry, Failure, Image, Info, Interest, Kind, NO_END, Plugin, Schema,
  State, Verdict, register,
} from "offtake-sdk/assembly";

/** Bytes of the longest value that is counted: a key of the state may have 4096. */
const LONGEST_KEY: u32 = 4000;

class Counter extends Plugin {
  private by: string = "";
  private into: string = "";
  private last: i64 = 0;
  private seconds: i64 = NO_END;

  configure(config: Config, info: Info): Failure | null {
    info.name = "counter";
    info.version = "1.0.0";
    info.keepingState();
    this.by = config.text("by");
    this.into = config.text("into");
    this.last = config.integerOr("last", 0);
    this.seconds = config.integerOr("seconds", NO_END);
    return config.finish();
  }

  onSchema(schema: Schema, interest: Interest): Failure | null {
    const ordinal = schema.ordinal(this.by);
    if (ordinal < 0) return null;
    if (schema.columns[ordinal].kind != Kind.Text) {
      return schema.refuse(ordinal, "texts are counted only");
    }
    interest.column(ordinal);
    interest.add(new ColumnInfo(this.into, Kind.Int64, "int8"));
    return null;
  }

  process(batch: Batch, verdict: Verdict): Failure | null {
    const column = batch.column(Image.After, batch.schema.ordinal(this.by));
    if (!column) return null;
    const places = new Map<string, i32>();
    const keys: Uint8Array[] = [];
    const placeOf = new StaticArray<i32>(batch.rows);
    for (let row: u32 = 0; row < batch.rows; row++) {
      placeOf[row] = -1;
      if (!column.hasValue(row)) continue;
      if (column.length(row) > LONGEST_KEY) {
        const reason = "a value of column " + this.by + " is too long to be a key";
        verdict.fail(row, Failure.permanent(reason));
        continue;
      }
      const text = column.text(row);
      if (!places.has(text)) {
        places.set(text, keys.length);
        keys.push(column.bytes(row));
      }
      placeOf[row] = places.get(text);
    }
    const counts = this.counts(keys);
    for (let row: u32 = 0; row < batch.rows; row++) {
      const place = placeOf[row];
      if (place < 0) continue;
      counts[place] += 1;
      verdict.cell(Image.After, batch.schema.columns.length, row).setInt64(counts[place]);
      if (counts[place] == this.last) counts[place] = 0;
    }
    this.keep(keys, counts);
    return null;
  }

  private keep(keys: Uint8Array[], counts: i64[]): void {
    const kept: Entry[] = [];
    const forgotten: Uint8Array[] = [];
    for (let place = 0; place < keys.length; place++) {
      if (counts[place] == 0) {
        forgotten.push(keys[place]);
        continue;
      }
      const value = new Uint8Array(8);
      store<i64>(value.dataStart, counts[place]);
      kept.push(new Entry(keys[place], value));
    }
    if (kept.length) State.putMany(kept, this.seconds);
    if (forgotten.length) State.deleteMany(forgotten);
  }

  /** What the keys were counted to before. */
  private counts(keys: Uint8Array[]): i64[] {
    const stored = State.getMany(keys);
    const counts = new Array<i64>(keys.length);
    for (let place = 0; place < keys.length; place++) {
      const value = stored[place];
      if (value) counts[place] = load<i64>(value.dataStart);
    }
    return counts;
  }
}

register(new Counter());
export * from "offtake-sdk/assembly/exports";

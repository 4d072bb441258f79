// The conformance plugin in AssemblyScript; ../README.md says what it does. Here: configuration,
// interests, and the actions on values.
import {
  Batch, Cell, Column, ColumnInfo, Config, Failure, Image, Info, Interest, Kind, Output, Plugin,
  Schema, Verdict, characterLength, register,
} from "offtake-sdk/assembly";
import { add, askedFor, fanOut, hasImage, imageOf, route, Targets } from "./rows";

const ACTIONS = ["echo", "mask", "drop", "add", "fan-out", "route", "fail", "op"];

class Conformance extends Plugin {
  private action: string = "";
  private column: string = "";
  private keepFirst: u32 = 0;
  private targets: Targets = new Targets("", "", "");
  private whole: bool = false;

  configure(config: Config, info: Info): Failure | null {
    info.name = "conformance";
    info.version = "1.0.0";
    this.action = config.text("action");
    if (config.has("action") && !ACTIONS.includes(this.action)) {
      return Failure.permanent(
        "config: `action` is none of echo, mask, drop, add, fan-out, route, fail, op");
    }
    if (this.action == "mask") {
      this.column = config.text("column");
      const keep = config.integerOr("keep_first", 0);
      if (keep < 0 || keep > <i64>u32.MAX_VALUE) {
        return Failure.permanent("config: `keep_first` is no count of characters");
      }
      this.keepFirst = <u32>keep;
      info.protecting([this.column]);
    } else if (this.action == "drop") {
      this.column = config.textOr("column", "id");
    } else if (this.action == "route") {
      this.targets = new Targets(
        config.textOr("stream", ""), config.textOr("partition", ""), config.textOr("header", ""));
    } else if (this.action == "fail") {
      this.whole = config.booleanOr("whole", false);
    }
    return config.finish();
  }

  onSchema(schema: Schema, interest: Interest): Failure | null {
    if (this.action == "mask") {
      const ordinal = schema.ordinal(this.column);
      if (ordinal < 0) return null;
      if (schema.columns[ordinal].kind != Kind.Text) {
        return schema.refuse(ordinal, "mask works on text columns only");
      }
    }
    interest.allColumns();
    interest.beforeImages();
    interest.headers();
    interest.positions();
    interest.commitTimes();
    interest.transactions();
    if (this.action == "add" && !schema.isMessage) {
      interest.add(new ColumnInfo("seen", Kind.Text, "text"));
    }
    if (this.action == "fan-out") {
      interest.output(new Output("seen", [
        new ColumnInfo("operation", Kind.Text, "text").required(),
        new ColumnInfo("position", Kind.Bytes, "bytes"),
        new ColumnInfo("committed", Kind.Int64, "int8"),
        new ColumnInfo("order", Kind.Uint64, "uint8"),
        new ColumnInfo("created", Kind.Boolean, "bool"),
        new ColumnInfo("half", Kind.Float64, "float8"),
      ]));
    }
    return null;
  }

  process(batch: Batch, verdict: Verdict): Failure | null {
    if (this.action == "echo") this.echo(batch, verdict);
    else if (this.action == "mask") this.mask(batch, verdict);
    else if (this.action == "drop") this.drop(batch, verdict);
    else if (this.action == "add") add(batch, verdict);
    else if (this.action == "fan-out") fanOut(batch, verdict);
    else if (this.action == "route") route(batch, verdict, this.targets);
    else if (this.action == "fail") return this.fail(batch, verdict);
    else this.makeDeletes(batch, verdict);
    return null;
  }

  private echo(batch: Batch, verdict: Verdict): void {
    for (let image = Image.Before; image <= Image.After; image++) {
      for (let ordinal = 0; ordinal < batch.schema.columns.length; ordinal++) {
        const from = batch.column(image, ordinal);
        if (!from) continue;
        for (let row: u32 = 0; row < batch.rows; row++) {
          verdict.cell(image, ordinal, row).setFrom(from, row);
        }
      }
    }
  }

  private mask(batch: Batch, verdict: Verdict): void {
    const ordinal = batch.schema.ordinal(this.column);
    for (let image = Image.Before; image <= Image.After; image++) {
      const from = batch.column(image, ordinal);
      if (!from) continue;
      for (let row: u32 = 0; row < batch.rows; row++) {
        if (from.hasValue(row)) this.cover(verdict.cell(image, ordinal, row), from, row);
      }
    }
  }

  private cover(cell: Cell, column: Column, row: u32): void {
    const begin = column.pointer(row);
    const end = begin + column.length(row);
    let characters: u32 = 0;
    let kept: u32 = 0;
    for (let at = begin; at < end; characters++) {
      if (characters == this.keepFirst) kept = <u32>(at - begin);
      at += characterLength(at);
    }
    cell.writeFrom(begin, kept);
    cell.writeRepeated(0x2a, characters > this.keepFirst ? characters - this.keepFirst : characters);
  }

  private drop(batch: Batch, verdict: Verdict): void {
    const ordinal = batch.schema.ordinal(this.column);
    for (let row: u32 = 0; row < batch.rows; row++) {
      const from = hasImage(batch, row) ? batch.column(imageOf(batch, row), ordinal) : null;
      if (!from || from.kind != Kind.Int64 || !from.hasValue(row)) continue;
      if (from.int64(row) & 1) verdict.drop(row);
    }
  }

  private fail(batch: Batch, verdict: Verdict): Failure | null {
    for (let row: u32 = 0; row < batch.rows; row++) {
      const failure = askedFor(batch, row);
      if (!failure) continue;
      if (this.whole) return failure;
      verdict.fail(row, failure);
    }
    return null;
  }

  private makeDeletes(batch: Batch, verdict: Verdict): void {
    for (let row: u32 = 0; row < batch.rows; row++) {
      if (batch.operation(row) == 0x75) verdict.setOperation(row, 0x64);
    }
  }
}

register(new Conformance());
export * from "offtake-sdk/assembly/exports";

// The benchmark's plugin in AssemblyScript; ../README.md says what its shapes do.
import {
  Batch, Cell, Column, ColumnInfo, Config, Failure, Image, Info, Interest, Json, JsonKind, Kind,
  Output, Plugin, Schema, Verdict, characterLength, register,
} from "offtake-sdk/assembly";
import { parseJson, quoted } from "offtake-sdk/assembly/json";

const STAR: u8 = 0x2a;

class Bench extends Plugin {
  private shape: string = "";
  private column: string = "";
  private bothImages: bool = false;

  configure(config: Config, info: Info): Failure | null {
    info.name = "bench";
    info.version = "1.0.0";
    this.shape = config.text("shape");
    this.column = config.textOr("column", "email");
    this.bothImages = config.booleanOr("both_images", false);
    return config.finish();
  }

  onSchema(schema: Schema, interest: Interest): Failure | null {
    const columns = this.columns();
    for (let at = 0; at < columns.length; at++) interest.column(schema.ordinal(columns[at]));
    if (this.bothImages) interest.beforeImages();
    if (this.shape == "add") interest.add(new ColumnInfo("domain", Kind.Text, "text"));
    if (this.shape == "fan_out") {
      interest.output(new Output("contacts", [
        new ColumnInfo("id", Kind.Int64, "int8"), new ColumnInfo("email", Kind.Text, "text"),
      ]));
    }
    return null;
  }

  private columns(): string[] {
    if (this.shape == "mask1") return [this.column];
    if (this.shape == "mask3") return ["email", "phone", "name"];
    if (this.shape == "filter") return ["amount"];
    if (this.shape == "fan_out") return ["id", "email"];
    if (this.shape == "json") return ["record"];
    return ["email"];
  }

  process(batch: Batch, verdict: Verdict): Failure | null {
    if (this.shape == "mask1") {
      mask(batch, verdict, this.column);
    } else if (this.shape == "mask3") {
      mask(batch, verdict, "email");
      mask(batch, verdict, "phone");
      mask(batch, verdict, "name");
    } else if (this.shape == "filter") {
      filter(batch, verdict);
    } else if (this.shape == "add") {
      add(batch, verdict);
    } else if (this.shape == "fan_out") {
      fanOut(batch, verdict);
    } else if (this.shape == "json") {
      rewrite(batch, verdict);
    }
    return null;
  }
}

function mask(batch: Batch, verdict: Verdict, name: string): void {
  const ordinal = batch.schema.ordinal(name);
  for (let image = Image.Before; image <= Image.After; image++) {
    const column = batch.column(image, ordinal);
    if (!column) continue;
    for (let row: u32 = 0; row < batch.rows; row++) {
      if (column.hasValue(row)) cover(verdict.cell(image, ordinal, row), column, row);
    }
  }
}

/** In UTF-8 as it lies there: no string is made. */
function cover(cell: Cell, column: Column, row: u32): void {
  const begin = column.pointer(row);
  const end = begin + column.length(row);
  if (begin == end) return;
  const first = characterLength(begin);
  let covered: u32 = 0;
  for (let at = begin + first; at < end; at += characterLength(at)) covered++;
  cell.writeFrom(begin, first);
  cell.writeRepeated(STAR, covered);
}

/** The column of that name, which was asked for. */
function after(batch: Batch, name: string): Column {
  return batch.column(Image.After, batch.schema.ordinal(name))!;
}

function filter(batch: Batch, verdict: Verdict): void {
  const amounts = after(batch, "amount");
  for (let row: u32 = 0; row < batch.rows; row++) {
    if (amounts.hasValue(row) && amounts.int64(row) < 1000) verdict.drop(row);
  }
}

function add(batch: Batch, verdict: Verdict): void {
  const emails = after(batch, "email");
  const domain = verdict.ordinal("domain");
  for (let row: u32 = 0; row < batch.rows; row++) {
    const end = emails.pointer(row) + emails.length(row);
    let at = emails.pointer(row);
    while (at < end && load<u8>(at) != 0x40) at++;
    const cell = verdict.cell(Image.After, domain, row);
    if (at < end) cell.writeFrom(at + 1, <u32>(end - at - 1));
  }
}

function fanOut(batch: Batch, verdict: Verdict): void {
  const ids = after(batch, "id");
  const emails = after(batch, "email");
  for (let row: u32 = 0; row < batch.rows; row++) {
    const emission = verdict.emit(0, row, 0x63);
    emission.cell(Image.After, 0).setFrom(ids, row);
    emission.cell(Image.After, 1).setFrom(emails, row);
  }
}

function rewrite(batch: Batch, verdict: Verdict): void {
  const records = after(batch, "record");
  for (let row: u32 = 0; row < batch.rows; row++) {
    const record = parseJson(records.text(row));
    if (!record) continue;
    const email = record.member("email");
    if (email) email.text = email.text.substring(0, 1) + "*".repeat(email.text.length - 1);
    verdict.cell(Image.After, records.ordinal, row).setText(written(record));
  }
}

function written(record: Json): string {
  const members: string[] = [];
  for (let at = 0; at < record.items.length; at++) {
    const value = record.items[at];
    const text = value.kind == JsonKind.Text ? quoted(value.text) : value.text;
    members.push(quoted(record.names[at]) + ":" + text);
  }
  return "{" + members.join(",") + "}";
}

register(new Bench());
export * from "offtake-sdk/assembly/exports";

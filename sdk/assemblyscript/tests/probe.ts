// A plugin for the SDK's own tests: the row cursor, shapes, metrics, and mistakes of every sort.
import {
  Batch, ColumnInfo, Config, Counter, Failure, Image, Info, Interest, Kind, Level, Output, Plugin, Row,
  Schema, Verdict, log, register,
} from "offtake-sdk/assembly";

class Probe extends Plugin {
  private action: string = "";
  private rows: Counter | null = null;

  configure(config: Config, info: Info): Failure | null {
    this.action = config.textOr("action", "");
    this.rows = new Counter("rows");
    info.name = "probe \"" + config.integerOr("number", 7).toString() + "\"";
    if (!config.booleanOr("fine", true)) return Failure.transient("not now");
    return config.finish();
  }

  onSchema(schema: Schema, interest: Interest): Failure | null {
    interest.allColumns();
    if (this.action == "images" || this.action == "newest") interest.beforeImages();
    if (this.action == "free-text") return this.freeText(schema);
    if (this.action != "shape") return null;
    const added = interest.add(new ColumnInfo("seen", Kind.Text, "text").required());
    interest.remove(1);
    interest.retype(0, new ColumnInfo("number", Kind.Text, "decimal(20,0)"));
    interest.keyedBy([0, added]);
    interest.onStream("all");
    interest.named("other", "table");
    const output = new Output("blobs", [new ColumnInfo("blob", Kind.Bytes, "bytes")]);
    output.opaque(0, "application/octet-stream");
    output.stream = "blobs";
    interest.output(output);
    const rows = new Output("rows", [new ColumnInfo("row", Kind.Text, "text")]);
    rows.flat();
    interest.output(rows);
    interest.flat();
    return null;
  }

  /** Refused: what is said of the columns' types. */
  private freeText(schema: Schema): Failure | null {
    let told = "";
    for (let at = 0; at < schema.columns.length; at++) {
      const column = schema.columns[at];
      const kind = ColumnInfo.of(column.name, column.logical).kind;
      told += column.logical + (kind == column.kind ? "" : "?") + (column.isFreeText() ? "! " : " ");
    }
    return Failure.permanent(told);
  }

  /** Covers a row's name by its place among the visits; drops what has none in any image. */
  private visit(row: Row): void {
    const place = (row.isBefore ? "b" : "a") + (row.isNewest ? "!" : "");
    if (row.has("name")) row.set("name").setText(place);
    else if (!row.has("id")) row.drop();
    row.image = Image.Before; // which the next visit takes back
  }

  process(batch: Batch, verdict: Verdict): Failure | null {
    const counter = this.rows;
    if (counter) counter.add(batch.rows);
    if (this.action == "rows") {
      const row = new Row(batch, verdict);
      do {
        if (!row.has("id")) row.drop();
        else if (row.has("name")) row.set("name").setText(row.text("name") + row.int64("id").toString());
      } while (row.next());
    } else if (this.action == "images" || this.action == "newest") {
      const row = this.action == "images" ? new Row(batch, verdict) : Row.newest(batch, verdict);
      do this.visit(row); while (row.next());
    } else if (this.action == "wrong-kind") {
      verdict.cell(Image.After, 0, 0).setText("x");
    } else if (this.action == "out-of-order") {
      verdict.cell(Image.After, 0, 1).setInt64(1);
      verdict.cell(Image.After, 0, 0).setInt64(1);
    } else if (this.action == "no-column") {
      verdict.cell(Image.After, 99, 0).setText("x");
    } else if (this.action == "no-output") {
      verdict.emit(3, 0, 0x63).cell(Image.After, 0).setText("x");
    } else if (this.action == "lone-surrogate") {
      verdict.cell(Image.After, 1, 0).setText("a" + String.fromCharCode(0xd834) + "b");
    } else if (this.action == "throw") {
      log(Level.Warn, "about to");
      throw new Error("a value of a row");
    } else if (this.action == "refuse") {
      return Failure.transient("not this call");
    }
    return null;
  }
}

register(new Probe());
export * from "offtake-sdk/assembly/exports";

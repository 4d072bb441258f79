// A plugin row by row in AssemblyScript; ../README.md says what it does.
import {
  Batch, ColumnInfo, Config, Failure, Image, Info, Interest, Output, Plugin, Row, Schema, Verdict, register,
} from "offtake-sdk/assembly";

class Rows extends Plugin {
  configure(config: Config, info: Info): Failure | null {
    info.name = "rows";
    info.version = "1.0.0";
    info.protecting(["email"]);
    return config.finish();
  }

  onSchema(schema: Schema, interest: Interest): Failure | null {
    const names = ["id", "email", "status"];
    for (let at = 0; at < names.length; at++) if (schema.ordinal(names[at]) < 0) return null;
    interest.allColumns();
    interest.beforeImages();
    const seen = new Output("seen", [
      ColumnInfo.of("id", "int8").required(),
      ColumnInfo.of("what", "text"),
    ]);
    seen.key = [0];
    seen.stream = "seen";
    interest.output(seen);
    return null;
  }

  process(batch: Batch, verdict: Verdict): Failure | null {
    const row = new Row(batch, verdict);
    do {
      if (row.has("email")) row.set("email").setText("***");
    } while (row.next());
    const newest = Row.newest(batch, verdict);
    do {
      if (newest.has("status") && newest.text("status") == "internal") {
        newest.drop();
      } else if (newest.has("id")) {
        const seen = verdict.emit(0, newest.index, 0x63); // c
        seen.cell(Image.After, 0).setInt64(newest.int64("id"));
        seen.cell(Image.After, 1).setText(String.fromCharCode(newest.operation));
      }
    } while (newest.next());
    return null;
  }
}

register(new Rows());
export * from "offtake-sdk/assembly/exports";

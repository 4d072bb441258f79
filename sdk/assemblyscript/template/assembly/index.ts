// A plugin to begin with: covers one text column but for its first characters.
//
// Configuration: { column = "email", keep_first = 1 }.
import {
  Batch, Cell, Column, Config, Failure, Image, Info, Interest, Plugin, Schema, Verdict,
  characterLength, register,
} from "offtake-sdk/assembly";

class Mask extends Plugin {
  private column: string = "";
  private keepFirst: u32 = 0;

  /** Once, at the start. What is refused here is shown by `offtake check`. */
  configure(config: Config, info: Info): Failure | null {
    this.column = config.text("column");
    const keep = config.integerOr("keep_first", 0);
    if (keep < 0 || keep > <i64>u32.MAX_VALUE) {
      return Failure.permanent("config: `keep_first` is no count of characters");
    }
    this.keepFirst = <u32>keep;
    info.name = "mask";
    info.version = "1.0.0";
    // Without it the gateway would not know that a failure must let nothing pass.
    info.protecting([this.column]);
    return config.finish(); // refuses a mistake above, and keys that nobody asked for
  }

  /** Once a table: which columns the plugin wants to see. */
  onSchema(schema: Schema, interest: Interest): Failure | null {
    const ordinal = schema.ordinal(this.column);
    if (ordinal < 0) return null;
    if (!schema.columns[ordinal].isFreeText()) {
      return schema.refuse(ordinal, "mask works on text columns only");
    }
    interest.column(ordinal);
    interest.beforeImages();
    return null;
  }

  /** For up to 256 changes at a time: what becomes of them. What is not mentioned passes. */
  process(batch: Batch, verdict: Verdict): Failure | null {
    const ordinal = batch.schema.ordinal(this.column);
    for (let image = Image.Before; image <= Image.After; image++) {
      const column = batch.column(image, ordinal);
      if (!column) continue;
      for (let row: u32 = 0; row < batch.rows; row++) {
        if (column.hasValue(row)) this.cover(verdict.cell(image, ordinal, row), column, row);
      }
    }
    return null;
  }

  /**
   * Keeps the first characters and writes `*` for each further one. A text that is no longer than
   * what is kept is covered whole. In UTF-8 as it lies there: no string is made.
   */
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
}

register(new Mask());
export * from "offtake-sdk/assembly/exports";

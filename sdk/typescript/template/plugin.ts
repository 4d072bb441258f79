/**
 * A plugin to begin with: covers all but the first characters of one text column with `*`.
 *
 * Configuration: `{ column = "email", keep_first = 1 }`.
 */

import {
  component, Interest, isFreeText,
  type Batch, type Config, type Info, type Plugin, type Schema, type Verdict,
} from "offtake";
import { mask } from "./mask";

class Mask implements Plugin {
  private column = "";
  private keepFirst = 0;

  /** Once, at the start. What is refused here is shown by `offtake check`. */
  configure(config: Config): Info {
    this.column = config.requiredText("column");
    this.keepFirst = config.count("keep_first") ?? 0;
    config.finish(); // refuses keys that nobody asked for
    return { name: "mask", version: "1.0.0", protects: [this.column] };
  }

  /** Once a table: which columns the plugin wants to see. */
  onSchema(schema: Schema): Interest {
    const info = schema.column(this.column);
    if (info !== undefined && !isFreeText(info)) {
      throw schema.refuse(info, "mask works on text columns only");
    }
    return Interest.inColumns(schema, [this.column]).withBeforeImages();
  }

  /** For up to 256 changes at a time: what becomes of them. What is not mentioned passes. */
  process(_batch: Batch, verdict: Verdict): void {
    verdict.map<string>(this.column, (text) => mask(text, this.keepFirst));
  }
}

export const plugin = component(Mask);

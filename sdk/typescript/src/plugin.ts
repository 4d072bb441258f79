/** What a plugin's author writes: a class with these methods. */

import type { Batch } from "./batch";
import type { Config } from "./config";
import type { Info, Interest } from "./interest";
import type { Schema } from "./schema";
import type { Verdict } from "./verdict";

/** A plugin. One object of it lives as long as an instance does; calls come one at a time. */
export interface Plugin {
  /**
   * Takes the `config` table of the plugin's TOML, and gives name, version and promises. Called
   * once, first. A `Failure` refuses the configuration: the gateway shows its message and does not
   * start.
   */
  configure(config: Config): Info;

  /**
   * Says what the plugin wants to see of a table. Called once a table, and again when its
   * definition changed. A `Failure` stops the pipeline: the plugin cannot work on such a table.
   */
  onSchema(schema: Schema): Interest;

  /**
   * Looks at changes of one table and fills in the verdict. A `Failure`, or any other exception,
   * fails the whole call and nothing of the verdict is used. To fail one change, call
   * `verdict.fail`.
   */
  process(batch: Batch, verdict: Verdict): void;
}

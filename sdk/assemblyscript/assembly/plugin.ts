// What a plugin is: three functions.
import { Batch } from "./batch";
import { Config, Failure, Info, Interest, Schema } from "./schema";
import { Verdict } from "./verdict";

/** A plugin. One lives as long as the instance does; its fields are a cache and nothing more. */
export abstract class Plugin {
  /** Once, at the start: reads the configuration, says who it is. */
  abstract configure(config: Config, info: Info): Failure | null;
  /** Once a table: which columns it wants to see. */
  abstract onSchema(schema: Schema, interest: Interest): Failure | null;
  /** For up to 256 changes: what becomes of them. A failure fails the whole call. */
  abstract process(batch: Batch, verdict: Verdict): Failure | null;
}

/** The table of the tests, and a plugin that says what a test wants it to. */

import { Interest, type Batch, type Field, type Schema, type Verdict } from "offtake";
import { processed, table } from "../src/testing";

export const PEOPLE = table("public.people", { id: "int8", email: "text", vip: "bool" }, ["id"]);

export function verdictOf(
  work: (batch: Batch, verdict: Verdict) => void,
  operations: string,
  after: Record<string, readonly Field[]>,
  before: Record<string, readonly Field[]> = {},
  interest: (schema: Schema) => Interest = (schema) => Interest.inAllColumns(schema),
): Verdict {
  const plugin = { onSchema: interest, process: work };
  return processed(plugin, PEOPLE, operations, after, before);
}

/**
 * Row by row, for plugins that would rather have objects than columns. Objects cost: README.md has
 * the figures. What is done to a whole column is done there faster.
 */

import { IMAGES, type Batch, type ImageName, type Operation } from "./batch";
import { described, Failure } from "./failure";
import { ABSENT, type Field } from "./value";
import type { Verdict } from "./verdict";

/** The columns of an image that the plugin asked for and the image has, by name. */
export type Row = Record<string, Field>;

/** Where a row belongs. */
export interface Place {
  readonly operation: Operation;
  readonly image: ImageName;
  /** Index in the batch, for everything that a verdict can say of it. */
  readonly row: number;
}

/**
 * Calls a function with every row of the batch, once an image that it has, and sets what the row
 * that it returns has otherwise; `null` drops the row. Columns that the plugin added are set by
 * their name. A function that throws fails its row alone, and the others go on.
 */
export function mapRows(
  batch: Batch,
  verdict: Verdict,
  change: (row: Row, place: Place) => Row | null,
  images: readonly ImageName[] = IMAGES,
): void {
  for (const image of images) {
    const columns = batch[image].names.map((name) => [name, batch[image].get(name)] as const);
    const changed = new Map<string, { rows: number[]; fields: Field[] }>();
    for (let at = 0; at < batch.rows; at++) {
      const old: Row = Object.create(null);
      let isThere = false;
      for (const [name, fields] of columns) {
        if (fields[at] === ABSENT) continue;
        old[name] = fields[at]!;
        isThere = true;
      }
      if (!isThere) continue;
      try {
        const given = Object.assign(Object.create(null), old) as Row;
        const result = change(given, { operation: batch.operations[at]!, image, row: at });
        if (result === null) verdict.drop(at);
        else keep(result, old, at, changed);
      } catch (error) {
        const failure = described(error);
        verdict.fail(at, failure.message, failure.permanent);
      }
    }
    for (const [name, { rows, fields }] of changed) verdict.set(image, name, fields, rows);
  }
}

function keep(
  result: Row, old: Row, row: number, changed: Map<string, { rows: number[]; fields: Field[] }>,
): void {
  if (typeof result !== "object") throw new Failure("a function of rows returned no row");
  for (const name of Object.keys(old)) {
    if (!(name in result)) {
      throw new Failure(`a row came back without its column ${name}; withoutColumns removes one`);
    }
  }
  for (const [name, field] of Object.entries(result)) {
    if (name in old && Object.is(field, old[name])) continue;
    let column = changed.get(name);
    if (column === undefined) changed.set(name, (column = { rows: [], fields: [] }));
    column.rows.push(row);
    column.fields.push(field);
  }
}

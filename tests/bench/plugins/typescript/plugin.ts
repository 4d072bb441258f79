/** The benchmark's plugin in TypeScript; ../README.md says what its shapes do. */

import {
  column, component, Interest, Output,
  type Batch, type Config, type Info, type Plugin, type Schema, type Verdict,
} from "offtake";

const READS: Record<string, string[]> = {
  empty: ["email"],
  mask3: ["email", "phone", "name"],
  filter: ["amount"],
  add: ["email"],
  fan_out: ["id", "email"],
  json: ["record"],
};
const CONTACTS = new Output("contacts", [column("id", "int8"), column("email", "text")]);

class Bench implements Plugin {
  private shape = "";
  private bothImages = false;
  private columns: string[] = [];

  configure(config: Config): Info {
    this.shape = config.requiredText("shape");
    this.bothImages = config.boolean("both_images") ?? false;
    const one = config.text("column") ?? "email";
    this.columns = READS[this.shape] ?? [one];
    config.finish();
    return { name: "bench", version: "1.0.0" };
  }

  onSchema(schema: Schema): Interest {
    const interest = Interest.inColumns(schema, this.columns);
    if (this.bothImages) interest.withBeforeImages();
    if (this.shape === "add") interest.withColumn(column("domain", "text"));
    if (this.shape === "fan_out") interest.withOutput(CONTACTS);
    return interest;
  }

  process(batch: Batch, verdict: Verdict): void {
    switch (this.shape) {
      case "mask1":
      case "mask3":
        for (const name of this.columns) verdict.map<string>(name, covered);
        break;
      case "filter": return filter(batch, verdict);
      case "add": return add(batch, verdict);
      case "fan_out": return fanOut(batch, verdict);
      case "json": return verdict.map<string>("record", rewritten);
    }
  }
}

/** Halves of surrogate pairs: without any, a text's length is the number of its characters. */
const HALVES = /[\uD800-\uDFFF]/;

function covered(text: string): string {
  if (!HALVES.test(text)) return text.slice(0, 1).padEnd(text.length, "*");
  const [first, ...rest] = Array.from(text);
  return first! + "*".repeat(rest.length);
}

function filter(batch: Batch, verdict: Verdict): void {
  const amounts = batch.after.get("amount") as bigint[];
  const dropped: number[] = [];
  amounts.forEach((amount, row) => { if (amount < 1000n) dropped.push(row); });
  verdict.drop(dropped);
}

function add(batch: Batch, verdict: Verdict): void {
  const emails = batch.after.get("email") as string[];
  verdict.set("after", "domain", emails.map((email) => email.slice(email.indexOf("@") + 1)));
}

function fanOut(batch: Batch, verdict: Verdict): void {
  const ids = batch.after.get("id");
  const emails = batch.after.get("email");
  for (let row = 0; row < batch.rows; row++) {
    verdict.emit("contacts", row, { after: { id: ids[row]!, email: emails[row]! } });
  }
}

function rewritten(text: string): string {
  const record = JSON.parse(text) as { email: string };
  record.email = covered(record.email);
  return JSON.stringify(record);
}

export const plugin = component(Bench);

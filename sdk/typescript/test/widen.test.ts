/** The contract is changed where it has to be, and a component's types are changed back. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { halvedContract, widenComponent } from "../bin/widen.mjs";

const WIT = readFileSync(`${process.env["OFFTAKE_SDK"]}/../wit/transform.wit`, "utf8");

test("no integer of 64 bits comes in, and all go out as they are", () => {
  const halved = halvedContract(WIT);
  const [incoming, outgoing] = halved.split("  variant outgoing-data {");
  assert.doesNotMatch(incoming!, /list<[su]64>/);
  assert.match(outgoing!, /int64\(list<s64>\)[\s\S]*uint64\(list<u64>\)/);
  assert.match(outgoing!, /record patch \{\n    image: image,\n    column: outgoing-column,/);
});

test("a contract that is another one is refused", () => {
  assert.throws(() => halvedContract(WIT.replace("int64(list<s64>)", "")), /not once: int64/);
  assert.throws(() => halvedContract(""), /lacks: variant column-data/);
});

const HEADER = [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0];
const SIGNED = [0x6f, 2, 0x79, 0x79, 0x70, 0];
const UNSIGNED = [0x6f, 2, 0x79, 0x7a, 0x70, 2];

function section(id: number, body: number[]): number[] {
  return [id, body.length, ...body];
}

test("lists of halves become lists of integers, also in a component inside", () => {
  const types = section(7, [4, ...SIGNED, ...UNSIGNED]);
  const inner = section(4, [...HEADER, ...types]);
  const core = section(1, SIGNED);
  const component = Uint8Array.from([...HEADER, ...core, ...inner, ...types]);
  widenComponent(component);
  const wide = section(7, [4, ...SIGNED.with(5, 0x78), ...UNSIGNED.with(5, 0x77)]);
  assert.deepEqual([...component],
    [...HEADER, ...core, ...section(4, [...HEADER, ...wide]), ...wide]);
});

test("a component without such types is refused", () => {
  assert.throws(() => widenComponent(Uint8Array.from(HEADER)), /lacks the types/);
  const odd = Uint8Array.from([...HEADER, ...section(7, [1, ...SIGNED.with(4, 0x6b), 0, 0])]);
  assert.throws(() => widenComponent(odd), /not laid out as expected/);
});

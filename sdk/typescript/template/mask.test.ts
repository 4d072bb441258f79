/** `npx offtake-test .`, without WebAssembly. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { mask } from "./mask";

test("all but the first characters are covered, a character of two halves by one star", () => {
  assert.equal(mask("zoé😀", 1), "z***");
  assert.equal(mask("😀😀", 1), "😀*");
});

test("a text of no more characters than are kept is covered whole", () => {
  assert.equal(mask("a", 1), "*");
  assert.equal(mask("", 1), "");
});

/** Values reach the contract's kinds and come back without loss; what does not fit is refused. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ABSENT, decodeText, encodeText, Failure, JsonNumber, jsonText, mapped, parseJson, UNCHANGED,
  type Field, type Kind,
} from "offtake";
import { packed } from "../src/value";

const CARRIED: [Kind, Field[], unknown][] = [
  ["int64", [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 7],
    BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 7n)],
  ["uint64", [2n ** 64n - 1n, 0], BigUint64Array.of(2n ** 64n - 1n, 0n)],
  ["float64", [5e-324, -0, NaN, Infinity], Float64Array.of(5e-324, -0, NaN, Infinity)],
  ["text", ["", "a\0b", "😀"], ["", "a\0b", "😀"]],
  ["bytes", [Uint8Array.of(0, 255)], [Uint8Array.of(0, 255)]],
  ["boolean", [true, false], Uint8Array.of(1, 0)],
];

for (const [kind, fields, data] of CARRIED) {
  test(`every value of kind ${kind} is carried as it is`, () => {
    assert.deepEqual(packed(kind, fields, "c"), { presence: new Uint8Array(0), data });
  });
}

test("null, unchanged and absent are told apart", () => {
  const { presence, data } = packed("text", ["x", null, UNCHANGED, ABSENT], "c");
  assert.deepEqual([...presence], [0, 1, 2, 3]);
  assert.deepEqual(data, ["x", "", "", ""]);
});

const REFUSED: [Kind, unknown][] = [
  ["int64", 2n ** 63n], ["int64", 2 ** 53], ["int64", 0.5], ["int64", "1"], ["uint64", -1n],
  ["float64", 1n], ["text", "\ud800"], ["text", 5], ["text", undefined], ["bytes", "x"],
  ["boolean", 1], ["bytes", [1]],
];

for (const [kind, value] of REFUSED) {
  test(`${JSON.stringify(String(value))} in a column of kind ${kind} is refused`, () => {
    assert.throws(() => packed(kind, [null, value as Field], "email"), (error: Failure) => {
      assert(error instanceof Failure);
      return error.message.startsWith("column email was set to something that is not ");
    });
  });
}

test("text becomes bytes and text again", () => {
  for (const text of ["", "a\0", "é€😀", "\uffff\u{10ffff}", "x".repeat(1000)]) {
    const bytes = encodeText(text);
    assert.deepEqual(bytes, new Uint8Array(Buffer.from(text)));
    assert.equal(decodeText(bytes), text);
  }
});

test("bytes that are no UTF-8 and texts that are none are refused", () => {
  const none = [[0x80], [0xc1, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80],
    [0xff], [0xe0, 0x80, 0x80]];
  for (const bytes of none) assert.throws(() => decodeText(Uint8Array.from(bytes)), Failure);
  for (const text of ["\ud800", "a\udc00", "\ud800x"]) assert.throws(() => encodeText(text), Failure);
});

test("JSON keeps every digit", () => {
  const text = '{"a": [12345678901234567890, 0.1, 1E+400, -0, 1.50, "é\\"]", true, null, {}, []]}';
  assert.deepEqual(parseJson(text), {
    a: [new JsonNumber("12345678901234567890"), 0.1, new JsonNumber("1E+400"), -0, 1.5, 'é"]', true,
      null, {}, []],
  });
  assert.equal(jsonText(parseJson(text)), text.replace("1.50", "1.5"));
  assert.throws(() => parseJson('{"a": secret}'), (error: Failure) => !/secret/.test(error.message));
  assert.throws(() => jsonText(NaN), Failure);
});

test("a key of JSON may have any name", () => {
  assert.equal(jsonText(parseJson('{"__proto__": 1, "": 2}')), '{"__proto__": 1, "": 2}');
});

test("a function is applied to values alone", () => {
  const fields: Field[] = ["a", null, UNCHANGED, ABSENT];
  assert.deepEqual(mapped<string>(fields, (text) => text + text), ["aa", null, UNCHANGED, ABSENT]);
});

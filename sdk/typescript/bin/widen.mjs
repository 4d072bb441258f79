/**
 * Carries integers of 64 bits into JavaScript without loss.
 *
 * The bindings of componentize-qjs make a float of every `s64` and `u64` that comes in, which is
 * another number beyond 2^53. So they are shown a contract in which these values come as pairs of
 * their halves, `tuple<u32, u32>`: in memory a list of such pairs and a list of integers are the same
 * bytes, eight a value, the lower half first. In the finished component the type is then named what
 * the gateway's contract says it is. What goes out needs none of this: the bindings take a
 * `BigInt64Array` as it is.
 */

/** Halves of a signed and of an unsigned integer, told apart by a type that the SDK ignores. */
const SIGNED = "list<tuple<u32, u32>>";
const UNSIGNED = "list<tuple<u32, s32>>";

function replacedOnce(text, old, fresh) {
  const parts = text.split(old);
  if (parts.length !== 2) {
    throw new Error(`transform.wit has ${parts.length - 1} times, not once: ${old.trim()}`);
  }
  return parts.join(fresh);
}

function between(text, begin, end) {
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`transform.wit lacks: ${begin.trim()}`);
  return [from, to + end.length];
}

/** The contract with halves in what comes in, and columns of their own in what goes out. */
export function halvedContract(wit) {
  const [from, to] = between(wit, "  variant column-data {", "  }\n");
  const outgoing = wit.slice(from, to).replace("column-data", "outgoing-data")
    + "  record outgoing-column { ordinal: u32, presence: list<u8>, data: outgoing-data }\n";
  const [at] = between(wit, "  enum image {", "}");
  let incoming = wit.slice(0, at);
  let answer = wit.slice(at);
  incoming = replacedOnce(incoming, "int64(list<s64>)", `int64(${SIGNED})`);
  incoming = replacedOnce(incoming, "uint64(list<u64>)", `uint64(${UNSIGNED})`);
  incoming = replacedOnce(incoming, "commit-times: list<s64>", `commit-times: ${SIGNED}`);
  incoming = replacedOnce(incoming, "transaction-order: list<u64>", `transaction-order: ${UNSIGNED}`);
  answer = replacedOnce(answer, "column: column,", "column: outgoing-column,");
  answer = replacedOnce(answer, "before: list<column>", "before: list<outgoing-column>");
  answer = replacedOnce(answer, "after: list<column>", "after: list<outgoing-column>");
  return incoming + outgoing + answer;
}

const S64 = 0x78;
const U64 = 0x77;
const LIST = 0x70;
const SECTION = { coreModule: 1, component: 4, type: 7 };

function unsigned(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
}

/** Changes a component's types in place: lists of halves become lists of integers. */
export function widenComponent(component) {
  const counts = { [S64]: 0, [U64]: 0 };
  widen(component, 0, component.length, counts);
  if (counts[S64] === 0 || counts[U64] === 0) {
    throw new Error("the component lacks the types that were to be widened");
  }
}

function widen(bytes, begin, end, counts) {
  for (let at = begin + 8; at < end;) {
    const id = bytes[at];
    const [size, body] = unsigned(bytes, at + 1);
    if (id === SECTION.component) widen(bytes, body, body + size, counts);
    if (id === SECTION.type) widenTypes(bytes, body, body + size, counts);
    at = body + size;
  }
}

/** `tuple<u32, u32>` or `tuple<u32, s32>`, and behind it the list that refers to it. */
function widenTypes(bytes, begin, end, counts) {
  for (let at = begin; at + 5 < end; at++) {
    const [tuple, two, low, high] = bytes.subarray(at, at + 4);
    if (tuple !== 0x6f || two !== 2 || low !== 0x79 || (high !== 0x79 && high !== 0x7a)) continue;
    // Inside the type of an instance each definition is announced by a 1.
    const list = bytes[at + 4] === LIST ? at + 4 : at + 5;
    if (bytes[list] !== LIST || bytes[list + 1] >= 0x40) {
      throw new Error("a component's types are not laid out as expected");
    }
    const wide = high === 0x79 ? S64 : U64;
    bytes[list + 1] = wide;
    counts[wide] += 1;
  }
}

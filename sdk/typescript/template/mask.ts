/** What the plugin does to one text, apart from the rest so that it can be tested in Node. */

/** Halves of surrogate pairs: without any, a text's length is the number of its characters. */
const HALVES = /[\uD800-\uDFFF]/;

/**
 * The first `keep` characters, and a `*` for each further one. A text of no more characters is
 * covered whole.
 */
export function mask(text: string, keep: number): string {
  if (!HALVES.test(text)) {
    const kept = text.length > keep ? keep : 0;
    return text.slice(0, kept).padEnd(text.length, "*");
  }
  const characters = Array.from(text); // by characters, not by halves of pairs
  const kept = characters.length > keep ? keep : 0;
  return characters.slice(0, kept).join("") + "*".repeat(characters.length - kept);
}

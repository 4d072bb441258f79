/** What the plugin does to one text, apart from the rest so that it can be tested in Node. */

/**
 * The first `keep` characters, and a `*` for each further one. A text of no more characters is
 * covered whole.
 */
export function mask(text: string, keep: number): string {
  const characters = Array.from(text); // by characters, not by halves of surrogate pairs
  const kept = characters.length > keep ? keep : 0;
  return characters.slice(0, kept).join("") + "*".repeat(characters.length - kept);
}

/**
 * How a plugin fails: with words of its own, or with the place of an exception. The text of an
 * exception is never repeated, for it may quote a value.
 */

/** A call, the configuration or a change failed. The message must not repeat values of rows. */
export class Failure extends Error {
  /** Whether another attempt on a fresh instance is of no use. */
  readonly permanent: boolean;

  constructor(message: string, permanent = true) {
    super(message);
    this.name = "Failure";
    this.permanent = permanent;
  }
}

/** The failure that an exception means: itself, or its class with its place in the bundle. */
export function described(error: unknown): Failure {
  if (error instanceof Failure) return error;
  let name = "an exception that is no Error";
  let place = "an unknown place";
  if (error instanceof Error) {
    // The class and not `name`, into which a value may have been written.
    name = error.constructor.name;
    const frames = String(error.stack ?? "").split("\n").filter((line) => /^\s*at /.test(line));
    const places = frames.slice(0, 4).map((frame) => frame.trim().slice(3));
    if (places.length > 0) place = places.join(" < ");
  }
  // What an exception left behind may be at fault, and so may a lack of memory.
  return new Failure(`${name} at ${place}`, false);
}

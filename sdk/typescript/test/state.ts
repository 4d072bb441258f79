/** The gateway's state as the tests see it: a map. */

const entries = new Map<string, Uint8Array>();
const name = (key: Uint8Array) => key.join();
export default {
  entries,
  getMany: (keys: Uint8Array[]) => keys.map((key) => entries.get(name(key)) ?? null),
  putMany: (pairs: [Uint8Array, Uint8Array][], _ttlSeconds: number | null) => {
    for (const [key, value] of pairs) entries.set(name(key), value.slice());
  },
  deleteMany: (keys: Uint8Array[]) => {
    for (const key of keys) entries.delete(name(key));
  },
};

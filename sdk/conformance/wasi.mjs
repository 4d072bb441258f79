// What stands in for WASI preview 1 under the small host of host.mjs, as abi.md says: the functions that
// the runtimes of languages call. Nothing is open, and no time passes but by looking at the clock.

const BADF = 8;

/** The functions, over a memory that exists once the module runs. Lines go to `write(stream, text)`. */
export function standIns(memory, write) {
  let clock = 1_000_000_000n;
  let random = 1;
  const view = () => new DataView(memory().buffer);
  const none = (count, size) => {
    view().setUint32(count, 0, true);
    view().setUint32(size, 0, true);
    return 0;
  };
  const known = {
    fd_write(stream, buffers, count, written) {
      if (stream !== 1 && stream !== 2) return BADF;
      let total = 0;
      for (let at = 0; at < count; at++) {
        const begin = view().getUint32(buffers + 8 * at, true);
        const length = view().getUint32(buffers + 8 * at + 4, true);
        write(stream, new TextDecoder().decode(new Uint8Array(memory().buffer, begin, length)));
        total += length;
      }
      view().setUint32(written, total, true);
      return 0;
    },
    clock_time_get(_id, _precision, at) {
      view().setBigUint64(at, clock, true);
      clock += 1000n;
      return 0;
    },
    random_get(at, length) {
      const bytes = new Uint8Array(memory().buffer, at, length);
      for (let one = 0; one < length; one++) bytes[one] = random = Math.imul(random, 75) + 74 & 255;
      return 0;
    },
    poll_oneoff(_in, _out, count, happened) {
      view().setUint32(happened, count, true);
      return 0;
    },
    sched_yield: () => 0,
    args_get: () => 0,
    args_sizes_get: none,
    environ_get: () => 0,
    environ_sizes_get: none,
    proc_exit(status) { throw new WebAssembly.RuntimeError(`proc_exit(${status})`); },
  };
  return new Proxy(known, { get: (functions, name) => functions[name] ?? (() => BADF) });
}

/** The gateway's functions as the tests see them. */

const lines: [string, string][] = [];
export default {
  lines,
  log: (level: string, message: string) => void lines.push([level, message]),
  counter: (_name: string) => -1,
  histogram: (_name: string) => -1,
  add: (_id: number, _delta: number) => {},
  observe: (_id: number, _value: number) => {},
};

// The doors of the module: what it exports to the gateway. A plugin's entry file exports what
// exports.ts names, and registers its plugin.
import { Batch, Frame } from "./batch";
import { Level, log } from "./host";
import { parseJson, quoted } from "./json";
import { Buffer } from "./memory";
import { Plugin } from "./plugin";
import { Config, Failure, Info, Interest, Schema } from "./schema";
import { Verdict, failureFrame } from "./verdict";

let plugin: Plugin | null = null;

/** Makes this the module's plugin. */
export function register(it: Plugin): void {
  plugin = it;
}

/** A schema with what is kept of it from call to call. */
class Told {
  batch: Batch;
  verdict: Verdict;
  constructor(schema: Schema, interest: Interest) {
    this.batch = new Batch(schema);
    this.verdict = new Verdict(interest);
  }
}

const told = new Map<u32, Told>();
const input = new Buffer();
const output = new Buffer();

/** An error that was thrown: its place is told, its message not, which may repeat values. */
export function abort(_message: string | null, file: string | null, line: u32, column: u32): void {
  const place = file === null ? "the plugin" : file;
  log(Level.Error, "the plugin aborted at " + place + ":" + line.toString() + ":" + column.toString());
  unreachable();
}

export function offtake_abi_version(): i32 {
  return 1;
}

export function offtake_alloc(length: u32): usize {
  input.clear();
  output.clear();
  // Memory of the runtime is aligned to 16 but for its head; eight bytes more make sure of 8.
  return (input.extend(length + 8) + 7) & ~7;
}

/** Where the answer lies; 0 where nothing is said. */
function packed(): u64 {
  return output.length ? (<u64>output.data << 32) | output.length : 0;
}

function answer(json: string): u64 {
  output.clear();
  output.string(json);
  return packed();
}

function refused(failure: Failure): u64 {
  return answer("{\"error\":{\"message\":" + quoted(failure.message) + ",\"permanent\":" +
    (failure.permanent ? "true" : "false") + "}}");
}

export function offtake_configure(pointer: usize, length: u32): u64 {
  const json = parseJson(String.UTF8.decodeUnsafe(pointer, length));
  const it = plugin;
  if (!json || !json.isObject()) return refused(Failure.permanent("config: it is no table"));
  if (!it) return refused(Failure.permanent("the module registers no plugin"));
  const info = new Info();
  const failure = it.configure(new Config(json), info);
  return failure ? refused(failure) : answer(info.toJson());
}

export function offtake_on_schema(pointer: usize, length: u32): u64 {
  const json = parseJson(String.UTF8.decodeUnsafe(pointer, length));
  const it = plugin;
  if (!json || !it) return refused(Failure.permanent("the schema cannot be read"));
  const schema = new Schema(json);
  const interest = new Interest(schema);
  schema.interest = interest;
  const failure = it.onSchema(schema, interest);
  if (failure) return refused(failure);
  told.set(schema.id, new Told(schema, interest));
  return answer(interest.toJson());
}

export function offtake_process(pointer: usize, length: u32): u64 {
  const frame = new Frame(pointer, pointer, pointer + length);
  const magic = frame.u32();
  const id = frame.u32();
  const it = plugin;
  if (magic != 0x3142544f || !it || !told.has(id) || !told.get(id).batch.read(frame)) {
    failureFrame(output, Failure.permanent("the batch cannot be read"));
    return packed();
  }
  const known = told.get(id);
  known.verdict.clear();
  const failure = it.process(known.batch, known.verdict);
  if (failure) failureFrame(output, failure);
  else known.verdict.finish(output, known.batch.rows);
  return packed();
}

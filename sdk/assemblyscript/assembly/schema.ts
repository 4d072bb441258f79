// The configuration, a table's schema, and what a plugin says of itself and wants of a table.
import { Json, JsonKind, numberList, quoted, quotedList } from "./json";

/** Why a call or a row failed. The message must not repeat values of rows. */
export class Failure {
  constructor(public message: string, public permanent: bool) {}

  /** One that another attempt would meet again. */
  static permanent(message: string): Failure {
    return new Failure(message, true);
  }

  /** One that a fresh instance may not meet. */
  static transient(message: string): Failure {
    return new Failure(message, false);
  }
}

/** The plugin's `config` table. The first mistake in it is kept until `finish`. */
export class Config {
  private mistake: string | null = null;
  constructor(private object: Json) {}

  private note(name: string, what: string): void {
    if (this.mistake === null) this.mistake = "config: `" + name + "` " + what;
  }

  has(name: string): bool {
    return this.object.member(name) !== null;
  }

  /** Any value. */
  value(name: string): Json | null {
    const value = this.object.member(name);
    if (value) value.used = true;
    return value;
  }

  text(name: string): string {
    const value = this.value(name);
    if (!value) {
      this.note(name, "is missing");
      return "";
    }
    if (value.kind != JsonKind.Text) this.note(name, "is no text");
    return value.text;
  }

  textOr(name: string, other: string): string {
    return this.has(name) ? this.text(name) : other;
  }

  integer(name: string): i64 {
    const value = this.value(name);
    if (!value) {
      this.note(name, "is missing");
      return 0;
    }
    if (!value.isInteger()) this.note(name, "is no integer");
    return value.integer();
  }

  integerOr(name: string, other: i64): i64 {
    return this.has(name) ? this.integer(name) : other;
  }

  booleanOr(name: string, other: bool): bool {
    const value = this.value(name);
    if (!value) return other;
    if (value.kind == JsonKind.True) return true;
    if (value.kind != JsonKind.False) this.note(name, "is neither true nor false");
    return false;
  }

  /** The first mistake, or a name that was not asked for. */
  finish(): Failure | null {
    const mistake = this.mistake;
    if (mistake !== null) return Failure.permanent(mistake);
    for (let at = 0; at < this.object.items.length; at++) {
      if (!this.object.items[at].used) {
        return Failure.permanent("config: `" + this.object.names[at] + "` is unknown");
      }
    }
    return null;
  }
}

/** What a plugin says of itself. */
export class Info {
  name: string = "unnamed";
  version: string = "0";
  private protects: bool = false;
  private required: string[] = [];
  private stateful: bool = false;

  /**
   * The plugin keeps these columns from being seen. The gateway then fails closed: both images are
   * always sent, and no failure lets a change pass.
   */
  protecting(columns: string[]): void {
    this.protects = true;
    this.required = columns;
  }

  /** The plugin keeps state (`State`), which the gateway's configuration has to grant. */
  keepingState(): void {
    this.stateful = true;
  }

  toJson(): string {
    return "{\"ok\":{\"name\":" + quoted(this.name) + ",\"version\":" + quoted(this.version) +
      ",\"protects\":" + (this.protects ? "true" : "false") +
      ",\"required-columns\":" + quotedList(this.required) +
      (this.stateful ? ",\"stateful\":true}}" : "}}");
  }
}

export enum Kind { Boolean, Int64, Uint64, Float64, Text, Bytes }

const KINDS = ["boolean", "int64", "uint64", "float64", "text", "bytes"];

/** The kind of a logical type's values: one of its own, or text. */
function kindOf(logical: string): Kind {
  if (logical == "bool") return Kind.Boolean;
  if (["int1", "int2", "int4", "int8", "oid"].includes(logical)) return Kind.Int64;
  if (["uint1", "uint2", "uint4", "uint8"].includes(logical)) return Kind.Uint64;
  if (logical == "float4" || logical == "float8") return Kind.Float64;
  return logical == "bytes" ? Kind.Bytes : Kind.Text;
}

/** Logical types whose values are any text. */
const FREE_TEXT = ["text", "string", "varchar", "char", "bpchar", "character", "citext", "name"];

/** A column: its name, how its values travel, and its type (`decimal(12,2)`, `timestamptz`). */
export class ColumnInfo {
  native: string = "";
  nullable: bool = true;
  /** An enum's labels. */
  labels: string[] = [];
  constructor(public name: string, public kind: Kind, public logical: string) {}

  static read(json: Json): ColumnInfo {
    const kind = KINDS.indexOf(json.textOf("kind"));
    if (kind < 0) throw new Error("a column of a kind that this SDK does not know");
    const info = new ColumnInfo(json.textOf("name"), <Kind>kind, json.textOf("logical"));
    info.native = json.textOf("native");
    const nullable = json.member("nullable");
    info.nullable = nullable ? nullable.kind == JsonKind.True : false;
    const labels = json.itemsOf("labels");
    for (let at = 0; at < labels.length; at++) info.labels.push(labels[at].text);
    return info;
  }

  /**
   * A column that may be NULL, of a logical type, with the kind that goes with it: `text`, `int4`,
   * `int8`, `float8`, `bool`, `bytes`, `decimal(12,2)`, `timestamptz`, `uuid`, `json`.
   */
  static of(name: string, logical: string): ColumnInfo {
    return new ColumnInfo(name, kindOf(logical), logical);
  }

  /**
   * Whether any text is a proper value: `text`, `varchar`, `char` and their like. Decimals, times,
   * UUIDs, JSON and lists travel as text too, but only some texts are their values.
   */
  isFreeText(): bool {
    const length = this.logical.indexOf("("); // `varchar(80)`
    const logical = length < 0 ? this.logical : this.logical.substring(0, length);
    return this.kind == Kind.Text && FREE_TEXT.includes(logical);
  }

  /** The same, but never NULL. */
  required(): ColumnInfo {
    this.nullable = false;
    return this;
  }

  toJson(): string {
    return "{\"name\":" + quoted(this.name) + ",\"kind\":\"" + KINDS[this.kind] +
      "\",\"logical\":" + quoted(this.logical) + ",\"native\":" + quoted(this.native) +
      ",\"nullable\":" + (this.nullable ? "true" : "false") + ",\"labels\":" +
      quotedList(this.labels) + "}";
  }
}

function ordinals(json: Json[]): u32[] {
  const numbers: u32[] = [];
  for (let at = 0; at < json.length; at++) numbers.push(<u32>json[at].integer());
  return numbers;
}

/** A table's definition. */
export class Schema {
  id: u32;
  /** Logical messages, with the columns `prefix` and `content`. */
  isMessage: bool;
  database: string;
  namespace: string;
  table: string;
  version: u32;
  columns: ColumnInfo[] = [];
  /** Ordinals of the key's columns in key order. */
  key: u32[] = [];
  /** Ordinals of the columns that the source sends of a row before its change. */
  beforeColumns: u32[] = [];
  /** What the plugin said of it. */
  interest: Interest | null = null;

  constructor(json: Json) {
    const id = json.member("id");
    const version = json.member("version");
    this.id = id ? <u32>id.integer() : 0;
    this.version = version ? <u32>version.integer() : 0;
    this.isMessage = json.textOf("subject") == "message";
    this.database = json.textOf("database");
    this.namespace = json.textOf("namespace");
    this.table = json.textOf("table");
    const columns = json.itemsOf("columns");
    for (let at = 0; at < columns.length; at++) this.columns.push(ColumnInfo.read(columns[at]));
    this.key = ordinals(json.itemsOf("key"));
    this.beforeColumns = ordinals(json.itemsOf("before-columns"));
  }

  /** Ordinal of the column of that name, or -1. */
  ordinal(name: string): i32 {
    for (let at = 0; at < this.columns.length; at++) {
      if (this.columns[at].name == name) return at;
    }
    return -1;
  }

  /** `public.people.age has type int4: REASON`. */
  refuse(ordinal: i32, reason: string): Failure {
    const column = this.columns[ordinal];
    return Failure.permanent(
      this.namespace + "." + this.table + "." + column.name + " has type " + column.native + ": " + reason);
  }
}

/** What emitted rows are. */
export class Output {
  key: u32[] = [];
  /** The stream of rows that name none; null: the parent's. */
  stream: string | null = null;
  private form: string = "\"envelope\"";
  constructor(public name: string, public columns: ColumnInfo[]) {}

  /** The row alone instead of before and after images; not every gateway offers it. */
  flat(): void {
    this.form = "\"flat\"";
  }

  /** The value of one column as it is, with its content type, instead of images. */
  opaque(payload: u32, contentType: string): void {
    this.form = opaque(payload, contentType);
  }

  toJson(): string {
    const stream = this.stream;
    return "{\"name\":" + quoted(this.name) + ",\"columns\":" + columnList(this.columns) +
      ",\"key\":" + numberList(this.key) + ",\"form\":" + this.form +
      (stream === null ? "" : ",\"stream\":" + quoted(stream)) + "}";
  }
}

function opaque(payload: u32, contentType: string): string {
  return "{\"opaque\":{\"payload\":" + payload.toString() + ",\"content-type\":" + quoted(contentType) + "}}";
}

function columnList(columns: ColumnInfo[]): string {
  const all: string[] = [];
  for (let at = 0; at < columns.length; at++) all.push(columns[at].toJson());
  return "[" + all.join(",") + "]";
}

/** What a plugin wants to see of a table. Saying nothing: it is never called for it. */
export class Interest {
  private subscribes: bool = false;
  private wanted: u32[] = [];
  private wants: string[] = ["packed-text"];
  private removed: u32[] = [];
  private retyped: string[] = [];
  private added: ColumnInfo[] = [];
  private key: string = "";
  private stream: string = "";
  private name: string = "";
  private form: string = "";
  outputs: Output[] = [];
  /** Names and kinds of the columns as patches count them. */
  names: string[] = [];
  kinds: Kind[] = [];
  /** Index of each input column among the wanted ones, or -1. */
  places: StaticArray<i32>;

  constructor(schema: Schema) {
    const columns = schema.columns;
    this.places = new StaticArray<i32>(columns.length);
    for (let at = 0; at < columns.length; at++) {
      this.names.push(columns[at].name);
      this.kinds.push(columns[at].kind);
      this.places[at] = -1;
    }
  }

  /** A column of the table. */
  column(ordinal: u32): void {
    this.subscribes = true;
    if (this.places[ordinal] >= 0) return;
    this.places[ordinal] = this.wanted.length;
    this.wanted.push(ordinal);
  }

  /** All of them. */
  allColumns(): void {
    this.subscribes = true;
    for (let at = 0; at < this.places.length; at++) this.column(at);
  }

  /** Every change, for plugins that look at operations only. */
  operations(): void {
    this.subscribes = true;
  }

  private want(what: string): void {
    this.subscribes = true;
    if (!this.wants.includes(what)) this.wants.push(what);
  }

  beforeImages(): void {
    this.want("before-image");
  }
  headers(): void {
    this.want("headers");
  }
  positions(): void {
    this.want("positions");
  }
  commitTimes(): void {
    this.want("commit-times");
  }
  transactions(): void {
    this.want("transactions");
  }

  /** The column does not leave. */
  remove(ordinal: u32): void {
    this.removed.push(ordinal);
  }

  /** The column leaves as what is said here. */
  retype(ordinal: u32, info: ColumnInfo): void {
    this.retyped.push("[" + ordinal.toString() + "," + info.toJson() + "]");
    this.names[ordinal] = info.name;
    this.kinds[ordinal] = info.kind;
  }

  /** A further column; gives its ordinal. */
  add(info: ColumnInfo): u32 {
    this.added.push(info);
    this.names.push(info.name);
    this.kinds.push(info.kind);
    return this.names.length - 1;
  }

  keyedBy(ordinals: u32[]): void {
    this.key = numberList(ordinals);
  }
  onStream(stream: string): void {
    this.stream = quoted(stream);
  }
  named(namespace: string, table: string): void {
    this.name = "[" + quoted(namespace) + "," + quoted(table) + "]";
  }

  /** The row alone instead of before and after images; not every gateway offers it. */
  flat(): void {
    this.form = "\"flat\"";
  }

  /** The column is the payload, as it is. */
  opaque(ordinal: u32, contentType: string): void {
    this.form = opaque(ordinal, contentType);
  }

  /** Rows beside the table's own; gives the output's number. */
  output(output: Output): u32 {
    this.outputs.push(output);
    return this.outputs.length - 1;
  }

  private shape(): string {
    if (!this.removed.length && !this.retyped.length && !this.added.length &&
      !this.key.length && !this.stream.length && !this.name.length) return "";
    return ",\"shape\":{\"remove\":" + numberList(this.removed) + ",\"retype\":[" +
      this.retyped.join(",") + "],\"add\":" + columnList(this.added) + option("key", this.key) +
      option("stream", this.stream) + option("name", this.name) + "}";
  }

  toJson(): string {
    const outputs: string[] = [];
    for (let at = 0; at < this.outputs.length; at++) outputs.push(this.outputs[at].toJson());
    return "{\"ok\":{\"subscribe\":" + (this.subscribes ? "true" : "false") + ",\"columns\":" +
      numberList(this.wanted) + ",\"wants\":" + quotedList(this.wants) + this.shape() +
      option("form", this.form) + ",\"outputs\":[" + outputs.join(",") + "]}}";
  }
}

function option(name: string, json: string): string {
  return json.length ? ",\"" + name + "\":" + json : "";
}

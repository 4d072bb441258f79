// What becomes of a batch, gathered column by column and written as a verdict frame. Saying nothing
// of a row lets it pass. A mistake of the plugin fails the call with a message that names it.
import { Image } from "./batch";
import { Cell, Cells, Mistake } from "./cell";
import { Emission } from "./emission";
import { Buffer } from "./memory";
import { Failure, Interest, Kind } from "./schema";

enum Section { Drop = 1, Set, Operations, Route, Emit, Failure }

function begin(out: Buffer, kind: Section): u32 {
  out.u32(kind);
  out.u32(0);
  return out.length;
}

function end(out: Buffer, begin: u32): void {
  store<u32>(out.data + begin - 4, out.length - begin);
  out.pad(8);
}

/** The frame of a whole call that failed. */
export function failureFrame(out: Buffer, failure: Failure): void {
  out.clear();
  out.u32(0x3146544f); // OTF1
  out.u32(failure.permanent ? 1 : 0);
  out.text(failure.message);
}

// @ts-ignore: decorator
@final
export class Verdict {
  private mistake: Mistake;
  private cells: Cells;
  private emissions: (Emission | null)[];
  private dropped: Buffer = new Buffer();
  private operations: Buffer = new Buffer();
  private failures: Buffer = new Buffer();
  private routes: Buffer = new Buffer();
  private routeCount: u32 = 0;
  private partitionRows: Buffer = new Buffer();
  private partitions: Buffer = new Buffer();

  constructor(private interest: Interest) {
    const mistake = new Mistake();
    this.mistake = mistake;
    this.cells = new Cells(interest.kinds, mistake);
    // The last one is of no output: somewhere to write to, while the call fails.
    this.emissions = new Array<Emission | null>(interest.outputs.length + 1);
  }

  /** Begins another batch. */
  clear(): void {
    this.mistake.message = null;
    this.cells.clear();
    for (let at = 0; at < this.emissions.length; at++) {
      const emission = this.emissions[at];
      if (emission) emission.clear();
    }
    this.dropped.clear();
    this.operations.clear();
    this.failures.clear();
    this.routes.clear();
    this.routeCount = 0;
    this.partitionRows.clear();
    this.partitions.clear();
  }

  /** Leaves a row out; wins over everything else that is said of it. */
  drop(row: u32): void {
    this.dropped.u32(row);
  }

  /** Makes a row's change one of another kind, by its letter. */
  setOperation(row: u32, operation: u8): void {
    this.operations.u32(row);
    this.operations.u32(operation);
  }

  /** Fails one row; what becomes of it is the operator's choice (`on_error`). */
  fail(row: u32, failure: Failure): void {
    this.failures.u32(row);
    this.failures.u32(failure.permanent ? 1 : 0);
    this.failures.text(failure.message);
  }

  /**
   * The cell of a row in a column of an image, to be set. Rows of a column in ascending order, each
   * once. The column need not be a wanted one.
   */
  cell(image: Image, ordinal: u32, row: u32): Cell {
    const cell = this.cells.at(image, ordinal);
    cell.begin(row);
    return cell;
  }

  /** Ordinal of a column by its name as it leaves, or -1. */
  ordinal(name: string): i32 {
    return this.interest.names.indexOf(name);
  }

  private route(row: u32): u32 {
    const at = begin(this.routes, Section.Route);
    this.routes.u32(1);
    this.routes.u32(row);
    this.routeCount++;
    return at;
  }

  /** Sends a row to another stream; at most once a row. */
  setStream(row: u32, stream: string): void {
    const at = this.route(row);
    this.routes.u32(1);
    this.routes.text(stream);
    for (let nothing = 0; nothing < 3; nothing++) this.routes.u32(0);
    end(this.routes, at);
  }

  /** Adds a header; one of the same name is replaced. */
  addHeader(row: u32, name: string, value: Uint8Array): void {
    const at = this.route(row);
    this.routes.u32(0);
    this.routes.u32(0);
    this.routes.u32(1);
    this.routes.text(name);
    this.routes.packedText(value.dataStart, value.length);
    this.routes.u32(0);
    end(this.routes, at);
  }

  removeHeader(row: u32, name: string): void {
    const at = this.route(row);
    for (let nothing = 0; nothing < 3; nothing++) this.routes.u32(0);
    this.routes.u32(1);
    this.routes.text(name);
    end(this.routes, at);
  }

  /** Chooses the partition of a row's messages, modulo those of the topic; in the order of the rows. */
  setPartition(row: u32, partition: u32): void {
    this.partitionRows.u32(row);
    this.partitions.u32(partition);
  }

  /**
   * Emits a row on an output, its parent's own change beside it. Parents in ascending order; of one
   * parent, rows of the first output come first.
   */
  emit(output: u32, parent: u32, operation: u8): Emission {
    const known = output < <u32>this.interest.outputs.length;
    if (!known) this.mistake.note("a row was emitted on an output that was not declared");
    const place = known ? output : this.interest.outputs.length;
    let emission = this.emissions[place];
    if (!emission) {
      const kinds: Kind[] = [];
      if (known) {
        const columns = this.interest.outputs[output].columns;
        for (let at = 0; at < columns.length; at++) kinds.push(columns[at].kind);
      }
      emission = new Emission(output, new Cells(kinds, this.mistake), this.mistake);
      this.emissions[place] = emission;
    }
    emission.begin(parent, operation);
    return emission;
  }

  private static list(out: Buffer, kind: Section, list: Buffer): u32 {
    if (!list.length) return 0;
    const at = begin(out, kind);
    out.append(list);
    end(out, at);
    return 1;
  }

  private writePartitions(out: Buffer): u32 {
    if (!this.partitions.length) return 0;
    const at = begin(out, Section.Route);
    out.u32(this.partitions.length / 4);
    out.append(this.partitionRows);
    out.u32(0); // no stream
    out.u32(this.partitions.length / 4);
    out.append(this.partitions);
    out.u32(0);
    out.u32(0);
    end(out, at);
    return 1;
  }

  /** Writes the frame; nothing where nothing was said. `rows`: how many the batch has. */
  finish(out: Buffer, rows: u32): void {
    out.clear();
    out.u32(0x3156544f); // OTV1
    out.u32(0);
    let sections = this.routeCount;
    sections += Verdict.list(out, Section.Drop, this.dropped);
    for (let at = 0; at < this.cells.used.length; at++, sections++) {
      const section = begin(out, Section.Set);
      this.cells.used[at].set(out, rows);
      end(out, section);
    }
    sections += Verdict.list(out, Section.Operations, this.operations);
    out.append(this.routes);
    sections += this.writePartitions(out);
    for (let at = 0; at < this.emissions.length; at++) {
      const emission = this.emissions[at];
      if (!emission || !emission.rows) continue;
      const section = begin(out, Section.Emit);
      emission.write(out);
      end(out, section);
      sections++;
    }
    sections += Verdict.list(out, Section.Failure, this.failures);
    const mistake = this.mistake.message;
    if (mistake !== null) failureFrame(out, Failure.permanent(mistake));
    else if (sections) store<u32>(out.data, sections, 4);
    else out.clear();
  }
}

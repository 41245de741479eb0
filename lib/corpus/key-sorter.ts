import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { breather } from '../event-loop.js';
import { makeDirectory, writing } from '../formats/writing.js';
import { codePointKey, stableOrder } from './code-point-order.js';

export interface KeyedRow {
  row: number;
  text: string;
}

export interface SortOptions {
  /** Characters of text that are sorted in memory at a time; what is more is sorted by runs on disk. Default 32 Mi. */
  sortMemory?: number;
  /** Where runs are written, if there are any, and removed again. Default the system's directory for such files. */
  temporaryDirectory?: string;
  signal?: AbortSignal;
}

const SORT_MEMORY = 2 ** 25;
/** Characters that a text costs besides its own. */
const OVERHEAD = 64;
const BUFFER_BYTES = 1 << 20;
const HEADER_BYTES = 8;

/**
 * Sorts texts by Unicode code point, stable by the order in which they are added, in bounded memory: what fits is sorted
 * there, else sorted runs go to files and are merged. Rows must rise.
 */
export class KeySorter implements AsyncDisposable {
  readonly #memory: number;
  readonly #temporary: string;
  readonly #signal: AbortSignal | undefined;
  #texts: string[] = [];
  #rows: number[] = [];
  #characters = 0;
  #directory: string | undefined;
  readonly #runs: Run[] = [];

  constructor({ sortMemory = SORT_MEMORY, temporaryDirectory = tmpdir(), signal }: SortOptions = {}) {
    this.#memory = sortMemory;
    this.#temporary = temporaryDirectory;
    this.#signal = signal;
  }

  /** @returns a promise to be awaited where memory is full @throws WriteError if a run cannot be written */
  add(row: number, text: string): Promise<void> | undefined {
    this.#rows.push(row);
    this.#texts.push(text);
    this.#characters += text.length + OVERHEAD;
    return this.#characters > this.#memory ? this.#spill() : undefined;
  }

  /** How many runs were written. */
  get runs(): number {
    return this.#runs.length;
  }

  /** All that was added, in order; once. */
  async *sorted(): AsyncGenerator<KeyedRow> {
    if (this.#runs.length === 0) {
      yield* this.#inMemory();
      return;
    }
    await this.#spill();
    const breathe = breather(this.#signal);
    const heap = new RunHeap();
    for (const run of this.#runs) {
      run.rewind();
      await run.next();
      if (run.head) heap.push(run);
    }
    for (let run = heap.first; run; run = heap.first) {
      yield run.head!;
      await run.next();
      heap.settle();
      await breathe();
    }
  }

  async *#inMemory(): AsyncGenerator<KeyedRow> {
    const breathe = breather(this.#signal);
    const keys: string[] = [];
    for (const text of this.#texts) {
      keys.push(codePointKey(text));
      await breathe();
    }
    for (const i of await stableOrder(keys, this.#signal)) {
      yield { row: this.#rows[i]!, text: this.#texts[i]! };
      await breathe();
    }
  }

  async #spill(): Promise<void> {
    await makeDirectory(this.#temporary);
    this.#directory ??= await writing(this.#temporary, () => mkdtemp(join(this.#temporary, 'listwise-sort-')));
    const file = join(this.#directory, `run-${this.#runs.length}`);
    const run = await writing(file, async () => new Run(await open(file, 'wx+'), file));
    this.#runs.push(run);
    for await (const { row, text } of this.#inMemory()) await run.write(row, text);
    await run.flush();
    this.#texts = [];
    this.#rows = [];
    this.#characters = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#runs) await run.close();
    if (this.#directory) await rm(this.#directory, { recursive: true, force: true });
  }
}

/** A file of rows and texts in order: row and bytes of the text as 32-bit numbers, then the text. */
class Run {
  readonly #handle: FileHandle;
  readonly #file: string;
  #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #at = 0;
  #end = 0;
  #position = 0;
  head: KeyedRow | undefined;
  /** The head's text as JavaScript compares it. */
  key = '';

  constructor(handle: FileHandle, file: string) {
    this.#handle = handle;
    this.#file = file;
  }

  async write(row: number, text: string): Promise<void> {
    const most = HEADER_BYTES + 3 * text.length;
    if (this.#at + most > this.#buffer.length) await this.flush();
    if (most > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(most);
    const bytes = this.#buffer.write(text, this.#at + HEADER_BYTES);
    this.#buffer.writeUInt32LE(row, this.#at);
    this.#buffer.writeUInt32LE(bytes, this.#at + 4);
    this.#at += HEADER_BYTES + bytes;
  }

  async flush(): Promise<void> {
    await writing(this.#file, () => this.#handle.writeFile(this.#buffer.subarray(0, this.#at)));
    this.#at = 0;
  }

  /** From writing to reading. */
  rewind(): void {
    this.#buffer = Buffer.allocUnsafe(BUFFER_BYTES / 4);
    [this.#at, this.#end, this.#position] = [0, 0, 0];
  }

  /** Has the next row in `head`, or undefined at the end. */
  async next(): Promise<void> {
    this.head = undefined;
    if (this.#end - this.#at < HEADER_BYTES && !(await this.#fill(HEADER_BYTES))) return;
    const row = this.#buffer.readUInt32LE(this.#at);
    const bytes = this.#buffer.readUInt32LE(this.#at + 4);
    if (this.#end - this.#at < HEADER_BYTES + bytes) await this.#fill(HEADER_BYTES + bytes);
    this.#at += HEADER_BYTES;
    const text = this.#buffer.toString('utf8', this.#at, this.#at + bytes);
    this.#at += bytes;
    this.head = { row, text };
    this.key = codePointKey(text);
  }

  /** Reads on until `bytes` are at hand. @returns whether there are as many */
  async #fill(bytes: number): Promise<boolean> {
    const rest = this.#buffer.subarray(this.#at, this.#end);
    const buffer = bytes > this.#buffer.length ? Buffer.allocUnsafe(2 * bytes) : this.#buffer;
    rest.copy(buffer);
    this.#buffer = buffer;
    [this.#at, this.#end] = [0, rest.length];
    while (this.#end < bytes) {
      const { bytesRead } = await this.#handle.read(buffer, this.#end, buffer.length - this.#end, this.#position);
      if (bytesRead === 0) return false;
      this.#position += bytesRead;
      this.#end += bytesRead;
    }
    return true;
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}

/** Runs by their heads, least first: a binary heap. */
class RunHeap {
  readonly #runs: Run[] = [];

  get first(): Run | undefined {
    return this.#runs[0];
  }

  push(run: Run): void {
    let at = this.#runs.push(run) - 1;
    for (; at > 0 && precedes(run, this.#runs[(at - 1) >> 1]!); at = (at - 1) >> 1) {
      this.#runs[at] = this.#runs[(at - 1) >> 1]!;
    }
    this.#runs[at] = run;
  }

  /** After the first run moved on: sinks it to its place, or takes it out at its end. */
  settle(): void {
    const [moved] = this.#runs;
    const last = moved!.head ? moved! : this.#runs.pop()!;
    if (this.#runs.length === 0 || (last === moved && !moved!.head)) return;
    let at = 0;
    for (let child = 1; child < this.#runs.length; child = 2 * at + 1) {
      if (child + 1 < this.#runs.length && precedes(this.#runs[child + 1]!, this.#runs[child]!)) child += 1;
      if (precedes(last, this.#runs[child]!)) break;
      this.#runs[at] = this.#runs[child]!;
      at = child;
    }
    this.#runs[at] = last;
  }
}

function precedes(a: Run, b: Run): boolean {
  return a.key < b.key || (a.key === b.key && a.head!.row < b.head!.row);
}

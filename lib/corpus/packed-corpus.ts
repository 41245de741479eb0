import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../errors.js';
import type { Passage } from '../types.js';
import type { CorpusReport } from './cleaning.js';
import type { Corpus } from './corpus.js';
import { IdTable } from './id-table.js';
import { decodeId, decodePassage, FILES, FORMAT, HEADER_BYTES } from './packed-record.js';

/** Rows that follow one another are read in blocks of this many bytes. */
const BLOCK_BYTES = 1 << 18;
const SLICE_BYTES = 1 << 24;

interface PackedRecord {
  format: number;
  size: number;
  bytes: number;
  about: { report?: CorpusReport };
}

interface Parts {
  directory: string;
  record: PackedRecord;
  offsets: Float64Array;
  table: IdTable;
}

/**
 * A corpus that lies in a directory as `PackedWriter` wrote it. Texts are read by position when they are asked for; in
 * memory are 8 bytes a passage for offsets and 13 to 26 for the table of ids. Reading blocks the thread for as long as
 * the system takes to give some kilobytes, which mostly are in its cache.
 */
export class PackedCorpus implements Corpus, Disposable {
  readonly directory: string;
  readonly size: number;
  /** What was kept with the corpus. */
  readonly about: { report?: CorpusReport };
  readonly report?: CorpusReport;
  readonly #offsets: Float64Array;
  readonly #table: IdTable;
  #file: number;
  #block = Buffer.alloc(0);
  /** Where the block starts in the file. */
  #start = 0;
  #last = -2;

  private constructor({ directory, record, offsets, table }: Parts) {
    this.directory = directory;
    this.size = record.size;
    this.about = record.about;
    this.report = record.about.report;
    this.#offsets = offsets;
    this.#table = table;
    this.#file = openSync(join(directory, FILES.passages), 'r');
  }

  /** Whether a directory holds a packed corpus. */
  static isAt(directory: string): boolean {
    return existsSync(join(directory, FILES.record));
  }

  /** @throws DataError if what is there is no packed corpus of this format, or has lost bytes */
  static async open(directory: string): Promise<PackedCorpus> {
    const record = await readRecord(directory);
    const offsets = await readNumbers(join(directory, FILES.offsets));
    const table = await readNumbers(join(directory, FILES.ids));
    const whole = offsets.byteLength === 8 * (record.size + 1) && table.byteLength % 8 === 0 && table.byteLength > 0;
    const ends = new Float64Array(offsets);
    if (!whole || ends[record.size] !== record.bytes) throw broken(directory, 'its files do not fit together');
    return new PackedCorpus({
      ...{ directory, record, offsets: ends },
      table: IdTable.from(new Uint32Array(table), record.size),
    });
  }

  row(id: string): number | undefined {
    const row = this.#table.find(id, (candidate) => this.id(candidate));
    return row < 0 ? undefined : row;
  }

  id(row: number): string {
    const at = this.#load(row);
    return decodeId(this.#block, at);
  }

  at(row: number): Passage {
    const at = this.#load(row);
    return decodePassage(this.#block, at, at + this.#offsets[row + 1]! - this.#offsets[row]!);
  }

  get(id: string): Passage | undefined {
    const row = this.row(id);
    return row === undefined ? undefined : this.at(row);
  }

  has(id: string): boolean {
    return this.row(id) !== undefined;
  }

  *ids(): Iterable<string> {
    for (let row = 0; row < this.size; row++) yield this.id(row);
  }

  *[Symbol.iterator](): Iterator<Passage> {
    for (let row = 0; row < this.size; row++) yield this.at(row);
  }

  /** Closes the file; the corpus cannot be read any more. */
  [Symbol.dispose](): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
  }

  /** Has a row's record in the block. @returns where in it */
  #load(row: number): number {
    if (!(row >= 0 && row < this.size)) {
      throw new RangeError(`There is no row ${row} in a corpus of ${this.size} passages. This is a bug.`);
    }
    const [from, to] = [this.#offsets[row]!, this.#offsets[row + 1]!];
    const inOrder = row === this.#last + 1;
    this.#last = row;
    if (from >= this.#start && to <= this.#start + this.#block.length) return from - this.#start;
    const end = this.#offsets[this.size]!;
    const wanted = inOrder ? Math.max(to - from, Math.min(BLOCK_BYTES, end - from)) : to - from;
    // A buffer of its own for each block: nothing that was decoded before is touched.
    const block = Buffer.allocUnsafe(wanted);
    for (let done = 0; done < wanted; ) {
      const bytes = readSync(this.#file, block, done, wanted - done, from + done);
      if (bytes === 0) throw broken(this.directory, `${FILES.passages} ends before row ${row}`);
      done += bytes;
    }
    this.#block = block;
    this.#start = from;
    return 0;
  }
}

async function readRecord(directory: string): Promise<PackedRecord> {
  const file = join(directory, FILES.record);
  const record = await readFile(file, 'utf8')
    .then((text) => JSON.parse(text) as PackedRecord)
    .catch((error: Error) => {
      throw broken(directory, `${FILES.record} says: ${error.message}`);
    });
  if (record.format === FORMAT && record.size >= 0 && record.bytes >= HEADER_BYTES * record.size) return record;
  throw broken(directory, `its format is ${record.format}, not ${FORMAT}`);
}

function broken(directory: string, problem: string): DataError {
  return new DataError({ file: directory }, `Expected a packed corpus but ${problem}; remove the directory.`);
}

async function readNumbers(file: string): Promise<ArrayBuffer> {
  const handle = await open(file, 'r');
  try {
    const bytes = new Uint8Array((await handle.stat()).size);
    for (let at = 0; at < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, at, Math.min(SLICE_BYTES, bytes.length - at), at);
      if (bytesRead === 0) throw new DataError({ file }, 'Expected more bytes but the file was cut while it was read.');
      at += bytesRead;
    }
    return bytes.buffer;
  } finally {
    await handle.close();
  }
}

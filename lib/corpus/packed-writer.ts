import { closeSync, openSync, readSync } from 'node:fs';
import { type FileHandle, mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeDirectory, writing } from '../formats/writing.js';
import type { Passage } from '../types.js';
import { IdTable } from './id-table.js';
import { decodeId, encodePassage, FILES, FORMAT, HEADER_BYTES, recordBytes } from './packed-record.js';

const CHUNK_BYTES = 1 << 22;
const SLICE_BYTES = 1 << 24;

/**
 * Writes passages into a packed corpus: one file of records, their offsets, and the table of ids. What is there grows in
 * a directory beside the named one, which takes its name when all is written.
 */
export class PackedWriter {
  readonly directory: string;
  readonly #beside: string;
  readonly #passages: FileHandle;
  readonly #reader: number;
  readonly #table = IdTable.empty();
  #offsets = new Float64Array(1 << 12);
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #used = 0;
  #flushed = 0;
  #size = 0;

  private constructor(directory: string, beside: string, passages: FileHandle) {
    this.directory = directory;
    this.#beside = beside;
    this.#passages = passages;
    this.#reader = openSync(join(beside, FILES.passages), 'r');
  }

  /** @param directory what it is to become; its parents are made. @throws WriteError if the file system refuses */
  static async create(directory: string): Promise<PackedWriter> {
    await makeDirectory(dirname(directory));
    return writing(directory, async () => {
      const beside = await mkdtemp(join(dirname(directory), `.${basename(directory)}-`));
      return new PackedWriter(directory, beside, await open(join(beside, FILES.passages), 'wx'));
    });
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of all records. */
  get bytes(): number {
    return this.#flushed + this.#used;
  }

  /**
   * Appends a passage. To be called one after the other.
   * @returns -1, or the row that has the id already, in which case nothing is added
   * @throws WriteError if the file system refuses
   */
  async add(passage: Passage, breathe: () => Promise<void> | undefined): Promise<number> {
    const growing = this.#table.reserve(breathe);
    if (growing) await growing;
    const there = this.#table.add(passage.id, this.#size, (row) => this.#id(row));
    if (there >= 0) return there;
    const bytes = recordBytes(passage);
    if (this.#used + bytes > this.#chunk.length) await this.#flush(bytes);
    this.#remember(this.bytes);
    this.#used += encodePassage(passage, this.#chunk, this.#used);
    this.#size += 1;
    return -1;
  }

  #remember(offset: number): void {
    if (this.#size + 2 > this.#offsets.length) {
      const grown = new Float64Array(this.#offsets.length * 2);
      grown.set(this.#offsets);
      this.#offsets = grown;
    }
    this.#offsets[this.#size] = offset;
  }

  #id(row: number): string {
    const offset = this.#offsets[row]!;
    if (offset >= this.#flushed) return decodeId(this.#chunk, offset - this.#flushed);
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    readSync(this.#reader, header, 0, HEADER_BYTES, offset);
    const record = Buffer.allocUnsafe(HEADER_BYTES + header.readUInt32LE(0));
    readSync(this.#reader, record, 0, record.length, offset);
    return decodeId(record, 0);
  }

  /** Writes what is in the chunk, and makes room for a record. */
  async #flush(room = 0): Promise<void> {
    await writing(this.directory, () => this.#passages.writeFile(this.#chunk.subarray(0, this.#used)));
    this.#flushed += this.#used;
    this.#used = 0;
    if (room > this.#chunk.length) this.#chunk = Buffer.allocUnsafe(room);
  }

  /**
   * Ends the corpus and gives the directory its name; one that has the name already is replaced.
   * @param about kept as `about` in corpus.json
   */
  async finish(about: object): Promise<void> {
    await this.#flush();
    this.#remember(this.bytes);
    await writing(this.directory, async () => {
      await this.#passages.sync();
      await this.#passages.close();
      await writeNumbers(join(this.#beside, FILES.offsets), this.#offsets.subarray(0, this.#size + 1));
      await writeNumbers(join(this.#beside, FILES.ids), this.#table.slots);
      const record = { format: FORMAT, size: this.#size, bytes: this.bytes, about };
      await writeFile(join(this.#beside, FILES.record), `${JSON.stringify(record, null, 2)}\n`);
      await rm(this.directory, { recursive: true, force: true });
      await rename(this.#beside, this.directory);
    });
    closeSync(this.#reader);
  }

  /** Removes what was written. */
  async discard(): Promise<void> {
    closeSync(this.#reader);
    await this.#passages.close().catch(() => {});
    await rm(this.#beside, { recursive: true, force: true });
  }
}

async function writeNumbers(file: string, numbers: Float64Array | Uint32Array): Promise<void> {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  const handle = await open(file, 'wx');
  try {
    for (let at = 0; at < bytes.length; at += SLICE_BYTES) await handle.writeFile(bytes.subarray(at, at + SLICE_BYTES));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

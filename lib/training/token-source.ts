import { type FileHandle, open } from 'node:fs/promises';
import { breather } from '../event-loop.js';
import { gatherManyTexts, textCount, tokenCount } from '../models/packed-texts.js';
import type { PackedTexts } from '../native.js';
import { readNumbers } from './number-file.js';

/** Tokenised texts by row, wherever they lie. */
export interface TokenSource {
  /** How many texts there are. */
  readonly count: number;
  /** How many tokens they have together. */
  readonly tokens: number;
  /** How many tokens the text of a row has. */
  length(row: number): number;
  /** The texts of these rows, in the order given. @throws `signal.reason` when aborted */
  gather(rows: ArrayLike<number>, signal?: AbortSignal): Promise<PackedTexts>;
}

/** Texts that lie in memory. */
export class MemoryTokens implements TokenSource {
  readonly #texts: PackedTexts;

  constructor(texts: PackedTexts) {
    this.#texts = texts;
  }

  get count(): number {
    return textCount(this.#texts);
  }

  get tokens(): number {
    return this.#texts.ids.length;
  }

  length(row: number): number {
    return tokenCount(this.#texts, row);
  }

  gather(rows: ArrayLike<number>, signal?: AbortSignal): Promise<PackedTexts> {
    return gatherManyTexts(this.#texts, rows, signal);
  }
}

const BYTES = Int32Array.BYTES_PER_ELEMENT;
/** Texts closer than this are read in one go, in tokens. */
const GAP = 4096;
/** Most tokens of one read, unless one text has more. */
const READ = 1 << 18;
/** Reads under way at a time. */
const READERS = 8;

/** Where tokens lie: their file, and the file of where each text starts (in tokens), with the end. */
export interface TokenFiles {
  ids: string;
  offsets: string;
}

/**
 * Texts that lie in a file, of which only what is asked for is read: in memory are 8 bytes a text. Node cannot map
 * files; reads by position of what lies close together come near to it, since the system keeps what was read.
 */
export class FileTokens implements TokenSource, AsyncDisposable {
  readonly #file: FileHandle;
  readonly #offsets: Float64Array;

  private constructor(file: FileHandle, offsets: Float64Array) {
    this.#file = file;
    this.#offsets = offsets;
  }

  static async open({ ids, offsets }: TokenFiles, signal?: AbortSignal): Promise<FileTokens> {
    const starts = await readNumbers(offsets, Float64Array, signal);
    return new FileTokens(await open(ids, 'r'), starts);
  }

  get count(): number {
    return this.#offsets.length - 1;
  }

  get tokens(): number {
    return this.#offsets[this.count]!;
  }

  length(row: number): number {
    return this.#offsets[row + 1]! - this.#offsets[row]!;
  }

  async gather(rows: ArrayLike<number>, signal?: AbortSignal): Promise<PackedTexts> {
    const breathe = breather(signal);
    const offsets = new Int32Array(rows.length + 1);
    for (let i = 0; i < rows.length; i++) offsets[i + 1] = offsets[i]! + this.length(rows[i]!);
    const gathered: PackedTexts = { ids: new Int32Array(offsets[rows.length]!), offsets };
    await breathe();
    const order = orderByRow(rows);
    await breathe();
    const ranges = this.#ranges(rows, order);
    const reader = async () => {
      for (const range of ranges) {
        await this.#read(range, { rows, order, gathered });
        await breathe();
        signal?.throwIfAborted();
      }
    };
    await Promise.all(Array.from({ length: READERS }, reader));
    return gathered;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** Places in `order`, from and to, of texts that are read together. */
  *#ranges(rows: ArrayLike<number>, order: Int32Array): Generator<[from: number, to: number]> {
    for (let from = 0; from < order.length; ) {
      const start = this.#offsets[rows[order[from]!]!]!;
      let to = from + 1;
      let end = this.#offsets[rows[order[from]!]! + 1]!;
      for (; to < order.length; to++) {
        const row = rows[order[to]!]!;
        if (this.#offsets[row]! - end > GAP || this.#offsets[row + 1]! - start > READ) break;
        end = this.#offsets[row + 1]!;
      }
      yield [from, to];
      from = to;
    }
  }

  async #read(
    [from, to]: [number, number],
    { rows, order, gathered }: { rows: ArrayLike<number>; order: Int32Array; gathered: PackedTexts },
  ): Promise<void> {
    const start = this.#offsets[rows[order[from]!]!]!;
    const end = this.#offsets[rows[order[to - 1]!]! + 1]!;
    const bytes = new Uint8Array((end - start) * BYTES);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.#file.read(bytes, done, bytes.length - done, start * BYTES + done);
      if (bytesRead === 0) throw new Error('The file of tokens was cut while it was in use.');
      done += bytesRead;
    }
    const ids = new Int32Array(bytes.buffer);
    for (let i = from; i < to; i++) {
      const row = rows[order[i]!]!;
      const at = this.#offsets[row]! - start;
      gathered.ids.set(ids.subarray(at, at + this.length(row)), gathered.offsets[order[i]!]!);
    }
  }
}

/**
 * Places by the rows in them: the order in which a file reads best. Numbers that hold row and place are sorted, which
 * takes a tenth of the time that a comparing function would.
 */
function orderByRow(rows: ArrayLike<number>): Int32Array {
  const { length } = rows;
  const keys = new Float64Array(length);
  for (let place = 0; place < length; place++) keys[place] = rows[place]! * length + place;
  return Int32Array.from(keys.sort(), (key) => key % length);
}

/** Opens texts: in memory where they take no more than `memoryBytes`, else in their file. */
export async function openTokens(
  files: TokenFiles,
  { memoryBytes, signal }: { memoryBytes: number; signal?: AbortSignal },
): Promise<TokenSource & Partial<AsyncDisposable>> {
  const inFile = await FileTokens.open(files, signal);
  if (inFile.tokens * BYTES > memoryBytes) return inFile;
  await inFile[Symbol.asyncDispose]();
  const offsets = Int32Array.from(await readNumbers(files.offsets, Float64Array, signal));
  return new MemoryTokens({ ids: await readNumbers(files.ids, Int32Array, signal), offsets });
}

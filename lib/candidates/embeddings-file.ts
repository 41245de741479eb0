import { readSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Corpus } from '../corpus/corpus.js';
import { DataError } from '../errors.js';
import type { TextEmbedder } from '../evaluation/retrieval.js';
import { writeLines } from '../formats/atomic.js';
import { makeDirectory, writing } from '../formats/writing.js';
import type { TopK } from '../native.js';
import { ExactSearch, type Rows } from '../search.js';
import type { LongWork, Progress } from '../types.js';
import { textsOf } from './embeddings.js';
import {
  type NpyLayout,
  type NumberType,
  narrowed,
  npyHeader,
  numberBytes,
  openNpy,
  readRows,
  widened,
} from './npy.js';

/** Passages that are encoded and written together; a run that stops loses no more than these. */
const SHARD = 4096;
/** Numbers that are read at a time to be searched. */
const BLOCK_NUMBERS = 1 << 24;

export interface FileSearch extends LongWork, BlockOptions {
  /** Only these are searched, and results are places among them. */
  rows?: readonly number[];
}

export interface BlockOptions extends Pick<LongWork, 'signal'> {
  /** Rows of a block. Default as many as have 16 million numbers. */
  blockRows?: number;
}

/** Embeddings of a corpus in an .npy file, read by position: of the matrix only what is worked on is in memory. */
export class EmbeddingsFile implements AsyncDisposable {
  readonly file: string;
  readonly #handle: FileHandle;
  readonly #layout: NpyLayout;

  private constructor(file: string, handle: FileHandle, layout: NpyLayout) {
    this.file = file;
    this.#handle = handle;
    this.#layout = layout;
  }

  /** @throws NotFoundError, DataError if it is no matrix of fp32 or bf16, or shorter than its header says */
  static async open(file: string): Promise<EmbeddingsFile> {
    const { handle, layout } = await openNpy(file);
    const { rows, columns, type, offset } = layout;
    const wanted = offset + rows * columns * numberBytes(type);
    const { size } = await handle.stat();
    if (size === wanted) return new EmbeddingsFile(file, handle, layout);
    await handle.close();
    throw new DataError(
      { file },
      `Expected ${wanted} bytes for ${rows} × ${columns} numbers but the file has ${size}.`,
    );
  }

  get rows(): number {
    return this.#layout.rows;
  }

  get dimension(): number {
    return this.#layout.columns;
  }

  get type(): NumberType {
    return this.#layout.type;
  }

  get #blockRows(): number {
    return Math.max(1, Math.floor(BLOCK_NUMBERS / this.dimension));
  }

  /** One embedding, in fp32. */
  row(row: number): Float32Array {
    const bytes = this.dimension * numberBytes(this.type);
    const buffer = new Uint8Array(bytes);
    readSync(this.#handle.fd, buffer, 0, bytes, this.#layout.offset + row * bytes);
    return widened(this.type === 'fp32' ? new Float32Array(buffer.buffer) : new Uint16Array(buffer.buffer));
  }

  /** All rows in order, block by block; the next is read while one is worked on. */
  async *blocks({ blockRows, signal }: BlockOptions = {}): AsyncGenerator<Rows> {
    const step = blockRows ?? this.#blockRows;
    const read = (first: number) => {
      const count = Math.max(0, Math.min(step, this.rows - first));
      return readRows(this.#handle, { file: this.file, layout: this.#layout, first, count, signal });
    };
    let ahead = read(0);
    for (let first = 0; first < this.rows; first += step) {
      const block = await ahead;
      ahead = read(first + step);
      ahead.catch(() => {});
      yield block;
    }
    await ahead;
  }

  /** Some rows in the order given, block by block; neighbours are read in one go. */
  async *pick(rows: readonly number[], { blockRows, signal }: BlockOptions = {}): AsyncGenerator<Rows> {
    const step = blockRows ?? this.#blockRows;
    for (let first = 0; first < rows.length; first += step) {
      yield await this.#gather(rows.slice(first, first + step), signal);
    }
  }

  async #gather(rows: readonly number[], signal?: AbortSignal): Promise<Rows> {
    const numbers = rows.length * this.dimension;
    const block = this.type === 'fp32' ? new Float32Array(numbers) : new Uint16Array(numbers);
    let end = 0;
    for (let start = 0; start < rows.length; start = end) {
      for (end = start + 1; end < rows.length && rows[end] === rows[end - 1]! + 1; ) end += 1;
      const place = { file: this.file, layout: this.#layout, first: rows[start]!, count: end - start, signal };
      block.set(await readRows(this.#handle, place), start * this.dimension);
    }
    return block;
  }

  /**
   * The k rows with the highest inner product for each query, as `searchEmbeddings` finds them.
   * @param queries queries × dimension numbers
   */
  async search(
    queries: Float32Array,
    k: number,
    { rows, blockRows, signal, onProgress }: FileSearch = {},
  ): Promise<TopK> {
    const { dimension } = this;
    const count = rows ? rows.length : this.rows;
    const search = await ExactSearch.open({ queries, dimension, k: Math.min(k, Math.max(count, 1)), signal });
    const { total } = search;
    let searched = 0;
    for await (const block of rows ? this.pick(rows, { blockRows, signal }) : this.blocks({ blockRows, signal })) {
      searched += await search.add(block, { signal });
      onProgress?.({ stage: 'searching', done: Math.floor((total * searched) / count), total, unit: 'queries' });
    }
    return search.best(Math.min(k, count));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

export interface EncodeCorpusOptions extends LongWork {
  embedder: TextEmbedder;
  corpus: Corpus;
  /** Default 'fp32'. */
  type?: NumberType;
  /** Says what decides the embeddings: texts, weights, settings. What was begun under another key is begun anew. */
  key: string;
}

/** What is beside an unfinished file. */
interface Begun {
  key: string;
  type: NumberType;
  rows: number;
  columns: number;
  /** Rows that are written for good. */
  done: number;
}

/**
 * Embeds all passages of a corpus into an .npy file, rows in the corpus' order. What is encoded is written shard by shard
 * to `<file>.partial`, so that a run that was stopped, in whatever way, goes on there; the file is whole or absent.
 * @throws WriteError if the file system refuses; `signal.reason` when aborted
 */
export async function encodeCorpus(file: string, options: EncodeCorpusOptions): Promise<void> {
  const { embedder, corpus, type = 'fp32', key, signal, onProgress } = options;
  const [partial, beside] = [`${file}.partial`, `${file}.partial.json`];
  const wanted: Omit<Begun, 'done'> = { key, type, rows: corpus.size, columns: embedder.dimension };
  await makeDirectory(dirname(file));
  let done = await begunRows(partial, beside, wanted);
  const handle = await writing(file, () => open(partial, done > 0 ? 'r+' : 'w'));
  try {
    const header = npyHeader(wanted);
    await writing(file, () => handle.write(header, 0, header.length, 0));
    while (done < corpus.size) {
      const count = Math.min(SHARD, corpus.size - done);
      const report = (progress: Progress) =>
        onProgress?.({ ...progress, done: done + progress.done, total: corpus.size });
      const texts = await textsOf(corpus, done, count, signal);
      const values = await embedder.encode(texts, { kind: 'passage', signal, onProgress: report });
      const position = header.length + done * wanted.columns * numberBytes(type);
      await writing(file, () => writeAt(handle, type === 'bf16' ? narrowed(values) : values, position));
      done += count;
      await writeLines(beside, [JSON.stringify({ ...wanted, done } satisfies Begun)]);
    }
  } finally {
    await handle.close();
  }
  await writing(file, () => rename(partial, file));
  await rm(beside, { force: true });
}

/** Writes all of it, and has the disk keep it. */
async function writeAt(handle: FileHandle, rows: Rows, position: number): Promise<void> {
  const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
  for (let at = 0; at < bytes.length; ) {
    at += (await handle.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
  await handle.datasync();
}

/** How many rows an earlier run has written of the same matrix. */
async function begunRows(partial: string, beside: string, wanted: Omit<Begun, 'done'>): Promise<number> {
  const begun = await readFile(beside, 'utf8')
    .then((text) => JSON.parse(text) as Begun)
    .catch(() => undefined);
  if (!begun || Object.entries(wanted).some(([name, value]) => begun[name as keyof Begun] !== value)) return 0;
  const { size } = await open(partial, 'r')
    .then(async (handle) => {
      const stats = await handle.stat();
      await handle.close();
      return stats;
    })
    .catch(() => ({ size: 0 }));
  const needed = npyHeader(wanted).length + begun.done * wanted.columns * numberBytes(wanted.type);
  return size >= needed ? begun.done : 0;
}

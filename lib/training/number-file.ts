import { type FileHandle, open } from 'node:fs/promises';
import { writing } from '../formats/writing.js';

/** Arrays of numbers that lie in files as they lie in memory. */
export type Numbers = Uint8Array | Int32Array | Float64Array;
type NumbersType<T extends Numbers> = { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer): T };

const CHUNK_BYTES = 1 << 22;
const SLICE_BYTES = 1 << 24;

/** Writes numbers one after the other into a file. */
export class NumberWriter {
  readonly #path: string;
  readonly #file: FileHandle;
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #used = 0;
  #bytes = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** @throws WriteError */
  static async create(path: string): Promise<NumberWriter> {
    return new NumberWriter(path, await writing(path, () => open(path, 'w')));
  }

  /** Bytes taken in so far. */
  get bytes(): number {
    return this.#bytes;
  }

  async add(numbers: Numbers): Promise<void> {
    const { buffer, byteOffset, byteLength } = numbers;
    for (let start = 0; start < byteLength; ) {
      const size = Math.min(byteLength - start, CHUNK_BYTES - this.#used);
      this.#chunk.set(new Uint8Array(buffer, byteOffset + start, size), this.#used);
      this.#used += size;
      start += size;
      if (this.#used === CHUNK_BYTES) await this.#flush();
    }
    this.#bytes += byteLength;
  }

  /** Writes what is left, syncs and closes. */
  async finish(): Promise<void> {
    await this.#flush();
    await writing(this.#path, () => this.#file.sync());
    await this.close();
  }

  /** Does nothing if it is closed. */
  async close(): Promise<void> {
    await this.#file.close();
  }

  async #flush(): Promise<void> {
    if (this.#used === 0) return;
    await writing(this.#path, () => this.#file.appendFile(this.#chunk.subarray(0, this.#used)));
    this.#used = 0;
  }
}

/** All numbers of a file, read in pieces that hold nothing up. @throws `signal.reason` when aborted */
export async function readNumbers<T extends Numbers>(
  path: string,
  type: NumbersType<T>,
  signal?: AbortSignal,
): Promise<T> {
  const file = await open(path, 'r');
  try {
    const bytes = new Uint8Array((await file.stat()).size);
    for (let at = 0; at < bytes.length; ) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(bytes, at, Math.min(SLICE_BYTES, bytes.length - at), at);
      if (bytesRead === 0) throw new Error(`${path} was cut while it was read.`);
      at += bytesRead;
    }
    return new type(bytes.buffer);
  } finally {
    await file.close();
  }
}

import { join } from 'node:path';
import { NotFoundError } from '../errors.js';
import type { EncodeTexts, TextEmbedder } from '../evaluation/retrieval.js';
import { hashTexts } from '../hashes.js';
import { readNpy, writeNpy } from './npy.js';

/** Texts of a shard: half a minute of work on a few cores. */
const SHARD_TEXTS = 2048;

/**
 * An encoder that keeps what it encodes, a shard at a time, in a directory, and encodes nothing that is kept there. The
 * directory must belong to one model with one set of lengths and prefixes.
 */
export class KeptEncoder implements TextEmbedder {
  readonly #encoder: TextEmbedder;
  readonly #directory: string;

  constructor(encoder: TextEmbedder, directory: string) {
    this.#encoder = encoder;
    this.#directory = directory;
  }

  get dimension(): number {
    return this.#encoder.dimension;
  }

  async encode(texts: readonly string[], options: EncodeTexts): Promise<Float32Array> {
    const { signal, onProgress } = options;
    const embeddings = new Float32Array(texts.length * this.dimension);
    for (let start = 0; start < texts.length; start += SHARD_TEXTS) {
      const shard = texts.slice(start, start + SHARD_TEXTS);
      const file = join(this.#directory, `${options.kind}-${(await hashTexts(shard, signal)).slice(0, 24)}.npy`);
      const kept = await this.#read(file, shard.length, signal);
      const values =
        kept ??
        (await this.#encoder.encode(shard, {
          ...options,
          onProgress: onProgress && ((one) => onProgress({ ...one, done: start + one.done, total: texts.length })),
        }));
      if (!kept) await writeNpy(file, { rows: shard.length, columns: this.dimension, values }, { signal });
      embeddings.set(values, start * this.dimension);
    }
    return embeddings;
  }

  async #read(file: string, rows: number, signal?: AbortSignal): Promise<Float32Array | undefined> {
    const kept = await readNpy(file, { signal }).catch((error: unknown) => {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    });
    return kept?.rows === rows && kept.columns === this.dimension ? kept.values : undefined;
  }
}

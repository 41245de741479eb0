import { breather } from '../event-loop.js';
import { hash32 } from '../random.js';
import type { LongWork } from '../types.js';
import type { Corpus } from './corpus.js';
import { jaccard, shingles } from './resemblance.js';

/**
 * 14 bands of 6 hashes: of two passages that are alike by 0.8 (0.9) one band at least agrees with probability 0.986
 * (0.99999), and nothing is dropped before its exact resemblance was computed.
 */
const BANDS = 14;
const BAND_HASHES = 6;
const HASHES = BANDS * BAND_HASHES;
/** Below it the bands find too few: of two passages that are alike by 0.5, one band agrees with probability 0.2. */
export const LEAST_RESEMBLANCE = 0.8;
/** Start values of the hash functions. */
const STARTS = Int32Array.from({ length: HASHES }, (_, i) => hash32(`minhash ${i}`));

export interface NearDuplicateOptions extends LongWork {
  /** Passages that are alike by this much are near-duplicates. From LEAST_RESEMBLANCE to 1. */
  threshold: number;
  /** Rows that take no part. */
  skip: (row: number) => boolean;
  /** Hears of a passage that is nearly the same as an earlier one, which stays. */
  found: (row: number, like: number) => void;
}

/**
 * Finds passages that are nearly the same as an earlier one that stays: candidates by MinHash with locality-sensitive
 * hashing, then the exact resemblance of their texts. Takes about a kilobyte of memory for each passage that stays.
 * @see Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3
 */
export async function findNearDuplicates(corpus: Corpus, options: NearDuplicateOptions): Promise<void> {
  const { threshold, skip, found, signal, onProgress } = options;
  const breathe = breather(signal);
  const bands = new BandTable();
  for (let row = 0; row < corpus.size; row++) {
    const pause = breathe();
    if (pause) {
      onProgress?.({ stage: 'near-duplicates', done: row, total: corpus.size, unit: 'passages' });
      await pause;
    }
    if (skip(row)) continue;
    const own = shingles(corpus.at(row).text);
    const keys = bandKeys(own);
    const candidates = new Set(keys.map((key) => bands.get(key)).filter((other) => other !== undefined));
    const like = [...candidates]
      .sort((a, b) => a - b)
      .find((other) => jaccard(own, shingles(corpus.at(other).text)) >= threshold);
    if (like !== undefined) found(row, like);
    else for (const key of keys) bands.add(key, row);
  }
}

/** Of each band a key: its number and what its hashes give together, as a 53-bit number. */
function bandKeys(set: ReadonlySet<string>): number[] {
  const least = new Uint32Array(HASHES).fill(0xffffffff);
  for (const shingle of set) {
    const base = hash32(shingle);
    for (let i = 0; i < HASHES; i++) {
      // A bijection of 32 bits for each function, of one hash of the shingle (the final mix of MurmurHash3).
      let h = base ^ STARTS[i]!;
      h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
      h = (h ^ (h >>> 16)) >>> 0;
      if (h < least[i]!) least[i] = h;
    }
  }
  return Array.from({ length: BANDS }, (_, band) => {
    const hashes = least.subarray(band * BAND_HASHES, (band + 1) * BAND_HASHES).join();
    return (hash32(`${band} ${hashes}`) >>> 0) * 2 ** 21 + (hash32(hashes, band + 1) >>> 11);
  });
}

/** The first row with each key. A `Map` ends at 16 million keys, so there are several. */
class BandTable {
  readonly #maps = Array.from({ length: 64 }, () => new Map<number, number>());

  get(key: number): number | undefined {
    return this.#maps[key % 64]!.get(key);
  }

  add(key: number, row: number): void {
    const map = this.#maps[key % 64]!;
    if (!map.has(key)) map.set(key, row);
  }
}

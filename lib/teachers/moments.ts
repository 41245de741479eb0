import type { Embeddings } from '../candidates/embeddings.js';
import { breather } from '../event-loop.js';
import type { LongWork } from '../types.js';

export interface Moments {
  mean: number;
  /** Standard deviation, of the whole population (divided by n). */
  deviation: number;
}

/**
 * Mean and deviation of a query's inner products with all passages of a corpus, without computing them one by one: over
 * passages p with mean m and covariance C, the products q · p have mean q · m and variance qᵀ C q. One pass over the
 * corpus, then dimension² multiplications a query.
 */
export class InnerProductMoments {
  readonly #mean: Float64Array;
  /** dimension × dimension, row-major. */
  readonly #covariance: Float64Array;

  private constructor(mean: Float64Array, covariance: Float64Array) {
    this.#mean = mean;
    this.#covariance = covariance;
  }

  static async of(passages: Embeddings, { signal, onProgress }: LongWork = {}): Promise<InnerProductMoments> {
    const breathe = breather(signal);
    const { dimension } = passages;
    const count = passages.ids.length;
    const mean = new Float64Array(dimension);
    for (let row = 0; row < count; row++) {
      const passage = passages.row(row);
      for (let i = 0; i < dimension; i++) mean[i]! += passage[i]! / count;
      await breathe();
    }
    const covariance = new Float64Array(dimension * dimension);
    const centred = new Float64Array(dimension);
    for (let row = 0; row < count; row++) {
      const passage = passages.row(row);
      for (let i = 0; i < dimension; i++) centred[i] = passage[i]! - mean[i]!;
      addOuterProduct(covariance, centred);
      const pause = breathe();
      if (!pause) continue;
      onProgress?.({ stage: 'teacher: corpus', done: row + 1, total: count, unit: 'passages' });
      await pause;
    }
    for (let i = 0; i < dimension; i++) {
      for (let j = 0; j <= i; j++) {
        covariance[i * dimension + j]! /= count;
        covariance[j * dimension + i] = covariance[i * dimension + j]!;
      }
    }
    return new InnerProductMoments(mean, covariance);
  }

  of(query: Float32Array): Moments {
    const dimension = query.length;
    let variance = 0;
    for (let i = 0; i < dimension; i++) {
      let product = 0;
      for (let j = 0, at = i * dimension; j < dimension; j++, at++) product += this.#covariance[at]! * query[j]!;
      variance += product * query[i]!;
    }
    return { mean: innerProduct(query, this.#mean), deviation: Math.sqrt(Math.max(0, variance)) };
  }
}

/** Adds v vᵀ to the lower triangle of a matrix. */
function addOuterProduct(matrix: Float64Array, v: Float64Array): void {
  for (let i = 0; i < v.length; i++) {
    const scale = v[i]!;
    for (let j = 0, at = i * v.length; j <= i; j++, at++) matrix[at]! += scale * v[j]!;
  }
}

/** Σ a_i b_i in double precision. */
export function innerProduct(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Moments of scores over a corpus of `count` passages, of which those not in `scores` score 0. */
export function sparseMoments(scores: Float64Array, count: number): Moments {
  const mean = scores.reduce((sum, score) => sum + score, 0) / count;
  const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) + (count - scores.length) * mean ** 2;
  return { mean, deviation: Math.sqrt(squares / count) };
}

/** How many deviations a score lies above the mean; 0 where all scores are equal. */
export function zScore(score: number, { mean, deviation }: Moments): number {
  return deviation > 0 ? (score - mean) / deviation : 0;
}

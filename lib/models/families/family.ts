import { ModelError } from '../../errors.js';
import type { Architecture, WeightNames } from '../../native.js';
import type { Config } from './config.js';

/** A model family: what its config.json says, as data for the packed block, and how its weights are named. */
export interface Family {
  /** Fields whose value changes the computation, with the values that the block honours. Absent is fine. */
  required: Readonly<Record<string, readonly unknown[]>>;
  architecture(config: Config): Architecture;
  /**
   * Parameter of the block → names it may have in the weights file, less a prefix that all of them carry; the first that
   * is there is taken, and others are copies of it.
   */
  weightNames(config: Config): Readonly<Record<string, string | readonly string[]>>;
  /** Longest text in tokens where neither the tokenizer nor sentence-transformers' files say. */
  usualLength?: number;
}

/** The names of one linear map or norm: its weight, and its bias where it has one. */
export function named(key: string, name: string, { bias = true }: { bias?: boolean } = {}): WeightNames {
  const weight = { [`${key}.weight`]: `${name}.weight` };
  return bias ? { ...weight, [`${key}.bias`]: `${name}.bias` } : weight;
}

/** Attention over the whole text, without rotary positions, in every layer. */
export function plainAttention(layers: number): Pick<Architecture, 'attention' | 'attentionOfLayer'> {
  return { attention: [{ window: 0, frequencies: [] }], attentionOfLayer: new Array(layers).fill(0) };
}

/** Head size where heads share the hidden numbers out. @throws ModelError if they cannot */
export function sharedHeadSize(config: Config, hidden: string, heads: string): number {
  const [size, count] = [config.wholeNumber(hidden), config.wholeNumber(heads)];
  if (size % count === 0) return size / count;
  throw new ModelError(`${config.file}: ${hidden} ${size} is no multiple of ${heads} ${count}.`);
}

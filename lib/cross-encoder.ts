import { InvalidArgumentError } from './errors.js';
import { breather } from './event-loop.js';
import {
  type CrossEncoderModel,
  type CrossEncoderOptions,
  crossEncoderOptionNames,
  loadCrossEncoder,
} from './models/cross-encoder.js';
import { NativeQueue } from './models/native-queue.js';
import { gatherTexts, rowsByLength } from './models/packed-texts.js';
import type { PackedPairs, Pair } from './models/pairs.js';
import { SCORING_ACTIVATIONS } from './models/scoring-activation.js';
import { callTokens, mostTokens } from './models/token-budget.js';
import { windowsOf } from './models/windows.js';
import { runJob } from './native.js';
import { rejectUnknownOptions } from './option-names.js';
import type { LongWork } from './types.js';

/** A query and the passages to score for it. */
export interface PairGroup {
  query: string;
  passages: readonly string[];
}

/** A model that reads a query and a passage together and scores them. Calls may overlap: they are served in turn. */
export class CrossEncoder implements AsyncDisposable {
  readonly #model: CrossEncoderModel;
  readonly #queue = new NativeQueue('CrossEncoder');

  private constructor(model: CrossEncoderModel) {
    this.#model = model;
  }

  /**
   * Loads a cross-encoder: a model for sequence classification with one label, or a T5 that was trained as RankT5 or
   * monoT5.
   * @param model a local directory, or a Hub name
   * @throws NotFoundError, ModelError if the directory is missing, broken or holds no cross-encoder
   * @throws ListwiseError UNSUPPORTED for a kind that is not computed; InvalidArgumentError for an option that cannot be
   */
  static async load(model: string, options: CrossEncoderOptions = {}): Promise<CrossEncoder> {
    rejectUnknownOptions(options, crossEncoderOptionNames, 'CrossEncoder.load');
    return new CrossEncoder(await loadCrossEncoder(model, options));
  }

  /** Longest pair in tokens, special tokens included. */
  get maxLength(): number {
    return this.#model.maxLength;
  }

  /** The local directory that the model was read from. */
  get directory(): string {
    return this.#model.directory.directory;
  }

  /** Where the model computes. */
  get device(): string {
    return this.#model.encoder.device;
  }

  /**
   * Scores pairs: higher is more relevant.
   * @returns a score a pair, in their order; groups' passages one after the other
   * @throws InvalidArgumentError naming the first pair that is none, or whose query leaves no room for its passage
   * @throws ListwiseError DISPOSED after dispose; `signal.reason` when aborted, within one native call
   */
  async score(pairs: readonly (Pair | PairGroup)[], options: LongWork = {}): Promise<Float32Array> {
    rejectUnknownOptions(options, ['signal', 'onProgress'], 'CrossEncoder.score');
    const scores = await this.scoreFitting(pairs, options);
    const unfit = scores.findIndex(Number.isNaN);
    if (unfit < 0) return scores;
    throw new InvalidArgumentError(
      `the query of pair ${unfit}`,
      `a text that leaves room for a passage in ${this.maxLength} tokens`,
      (await flatten(pairs))[unfit]!.query,
      'queries are never cut: shorten it, or raise maxLength if the model allows',
    );
  }

  /** The same, with NaN for pairs whose query leaves no room for the passage. */
  async scoreFitting(
    pairs: readonly (Pair | PairGroup)[],
    { signal, onProgress }: LongWork = {},
  ): Promise<Float32Array> {
    const flat = await flatten(pairs, signal);
    return this.#queue.run((abort) => this.#scoreAll(flat, { signal: abort, onProgress }), signal);
  }

  async #scoreAll(pairs: readonly Pair[], { signal, onProgress }: LongWork): Promise<Float32Array> {
    const scores = new Float32Array(pairs.length);
    const windows = windowsOf(pairs, (some) => this.#model.pairs.pack(some, signal));
    let done = 0;
    for await (const { start, size, packed: window } of windows) {
      const { packed, tooLong } = window;
      const places = Array.from({ length: size }, (_, i) => start + i).filter((place) => !tooLong.has(place - start));
      for (const place of tooLong) scores[start + place] = Number.NaN;
      done += tooLong.size;
      for (const rows of rowsByLength(packed, callTokens(this.#model.encoder.device))) {
        const computed = await this.#scoreRows(packed, rows, signal);
        for (const [i, row] of rows.entries()) scores[places[row]!] = computed[i]!;
        done += rows.length;
        onProgress?.({ stage: 'scoring', done, total: pairs.length, unit: 'pairs' });
      }
    }
    return scores;
  }

  async #scoreRows(packed: PackedPairs, rows: Int32Array, signal?: AbortSignal): Promise<number[]> {
    const { encoder, directory, scoring, activation } = this.#model;
    const args = {
      ...gatherTexts(packed, rows),
      ...{ pooling: directory.head.pooling, normalize: false, tokenBudget: mostTokens(encoder.device) },
    };
    const logits = await runJob(() => encoder.encode(args), signal);
    const width = encoder.dimension;
    const score = (row: number) =>
      scoring ? scoring.score(logits.subarray(row * width, (row + 1) * width)) : logits[row]!;
    return Array.from(rows, (_, i) => SCORING_ACTIVATIONS[activation](score(i)));
  }

  /** Frees the model. Work under way rejects with code DISPOSED, as do later calls. */
  async dispose(): Promise<void> {
    if (this.#queue.isClosed) return;
    await this.#queue.close();
    this.#model.encoder.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

async function flatten(given: readonly (Pair | PairGroup)[], signal?: AbortSignal): Promise<Pair[]> {
  if (!Array.isArray(given)) throw new InvalidArgumentError('pairs', 'an array of {query, passage}', given);
  const breathe = breather(signal);
  const pairs: Pair[] = [];
  for (const [i, one] of given.entries()) {
    const { query, passage, passages = [passage] } = (one ?? {}) as Partial<Pair & PairGroup>;
    if (typeof query !== 'string') throw new InvalidArgumentError(`pairs[${i}].query`, 'a string', query);
    if (!Array.isArray(passages))
      throw new InvalidArgumentError(`pairs[${i}].passages`, 'an array of strings', passages);
    for (const [j, text] of passages.entries()) {
      const name = passage === undefined && 'passages' in one ? `passages[${j}]` : 'passage';
      if (typeof text !== 'string') throw new InvalidArgumentError(`pairs[${i}].${name}`, 'a string', text);
      pairs.push({ query, passage: text });
    }
    await breathe();
  }
  return pairs;
}

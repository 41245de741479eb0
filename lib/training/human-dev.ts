import { Embedder } from '../embedder.js';
import { JudgedCollection } from '../evaluation/collection.js';
import { evaluate } from '../evaluation/evaluate.js';
import { collectionSubset } from '../evaluation/subset.js';
import type { TestCollection } from '../formats/beir.js';
import { hashTexts } from '../hashes.js';
import type { EmbeddingModel } from '../models/model.js';
import type { LongWork } from '../types.js';
import type { SettledOptions } from './options.js';

/** What is measured on queries of people, by ir_measures' name. */
export const HUMAN_MEASURE = 'nDCG@10';

export interface HumanMeasure {
  [HUMAN_MEASURE]: number;
  /** How many queries and passages it was measured on. */
  queries: number;
  passages: number;
}

type Options = Pick<
  SettledOptions,
  'devData' | 'devSplit' | 'devQueries' | 'devDistractors' | 'chooseBy' | 'seed' | 'signal'
>;

/**
 * Queries that people judged, to see while training how the model searches: some of a test collection's queries, their
 * judged passages, and sampled others. Its figures are higher than those over the whole corpus; they compare the
 * weights of one run with each other.
 */
export class HumanDev {
  readonly #embedder: Embedder;
  readonly #collection: TestCollection;
  /** Whether early stopping and the choice of the weights go by it, in the place of the losses. */
  readonly isDecisive: boolean;

  private constructor(embedder: Embedder, collection: TestCollection, isDecisive: boolean) {
    this.#embedder = embedder;
    this.#collection = collection;
    this.isDecisive = isDecisive;
  }

  /**
   * Reads the collection that options name and samples from it.
   * @throws NotFoundError, DataError where it cannot be read
   */
  static async open(model: EmbeddingModel, options: Options): Promise<HumanDev | undefined> {
    const { devData, devSplit: split, devQueries: queries, devDistractors: distractors, seed, signal } = options;
    if (devData === undefined) return undefined;
    const whole = await JudgedCollection.open(devData, { split, signal });
    const collection = await collectionSubset(whole, {
      queries: Math.min(queries, whole.queries.length),
      ...{ distractors, seed, signal },
    });
    return new HumanDev(Embedder.over(model), collection, options.chooseBy === HUMAN_MEASURE);
  }

  /** SHA-256 of queries, judgements and passages. */
  hash(signal?: AbortSignal): Promise<string> {
    return hashTexts(contentOf(this.#collection), signal);
  }

  /** How the model searches with its present weights. Not while a step runs. */
  async measure({ signal, onProgress }: LongWork): Promise<HumanMeasure> {
    const evaluation = await evaluate({
      ...{ model: this.#embedder, data: this.#collection, measures: [HUMAN_MEASURE], k: 10, signal },
      onProgress: (progress) => onProgress?.({ ...progress, stage: 'evaluation' }),
    });
    const { queries, passages, measures } = evaluation;
    return { [HUMAN_MEASURE]: measures[HUMAN_MEASURE]!, queries, passages };
  }
}

function* contentOf({ corpus, queries, qrels }: TestCollection): Generator<string> {
  for (const { id, text } of queries) yield* [id, text, JSON.stringify([...(qrels.get(id) ?? [])])];
  for (const { id, title, text } of corpus) yield* [id, title, text];
}

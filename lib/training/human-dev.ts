import { Embedder } from '../embedder.js';
import { JudgedCollection } from '../evaluation/collection.js';
import { evaluate } from '../evaluation/evaluate.js';
import type { TextEmbedder } from '../evaluation/retrieval.js';
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

/** How much of a text training reads, in tokens. */
type Lengths = Required<Pick<SettledOptions, 'queryMaxLength' | 'passageMaxLength'>>;

type Options = Lengths &
  Pick<SettledOptions, 'devData' | 'devSplit' | 'devQueries' | 'devDistractors' | 'chooseBy' | 'seed' | 'signal'>;

/**
 * Queries that people judged, to see while training how the model searches: some of a test collection's queries, their
 * judged passages, and sampled others. Its figures are higher than those over the whole corpus; they compare the
 * weights of one run with each other.
 */
export class HumanDev {
  readonly #embedder: TextEmbedder;
  readonly #collection: TestCollection;
  /** Whether early stopping and the choice of the weights go by it, in the place of the losses. */
  readonly isDecisive: boolean;

  private constructor(embedder: TextEmbedder, collection: TestCollection, isDecisive: boolean) {
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
    return new HumanDev(cutting(model, options), collection, options.chooseBy === HUMAN_MEASURE);
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

/**
 * The model as it trains: it reads no more of a text than its lists' texts. The lengths go with each call, since the
 * model's own settings stay as they are and are saved with it.
 */
function cutting(model: EmbeddingModel, { queryMaxLength, passageMaxLength }: Lengths): TextEmbedder {
  const embedder = Embedder.over(model);
  return {
    dimension: embedder.dimension,
    encode: (texts, { kind, signal, onProgress }) =>
      embedder.encode(texts, {
        ...{ kind, signal, onProgress },
        maxLength: kind === 'query' ? queryMaxLength : passageMaxLength,
      }),
  };
}

function* contentOf({ corpus, queries, qrels }: TestCollection): Generator<string> {
  for (const { id, text } of queries) yield* [id, text, JSON.stringify([...(qrels.get(id) ?? [])])];
  for (const { id, title, text } of corpus) yield* [id, title, text];
}

import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { PackedTexts } from '../native.js';
import { PackedTextsBuilder, textAt } from './packed-texts.js';
import type { PairTemplate, Tokenizer } from './tokenizer.js';

/** A query and a passage to score for it. */
export interface Pair {
  query: string;
  passage: string;
}

/** What stands around the texts of a pair, for models that are asked in words. */
export interface PairPrompt {
  before: string;
  between: string;
  after: string;
}

/** Packed pairs. */
export type PackedPairs = PackedTexts & { secondStarts: Int32Array };

/**
 * Joins separately tokenised queries and passages into pairs: each distinct text is tokenised once. A pair that is too
 * long loses the passage's end (its beginning, where the tokenizer cuts there), never a part of the query.
 */
export class PairTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #template: PairTemplate;
  readonly #prompt: PairPrompt;
  readonly #queryPrefix: string;
  readonly #maxLength: number;

  private constructor(
    tokenizer: Tokenizer,
    template: PairTemplate,
    { prompt, queryPrefix = '', maxLength }: PairOptions,
  ) {
    this.#tokenizer = tokenizer;
    this.#template = template;
    this.#prompt = prompt ?? { before: '', between: '', after: '' };
    this.#queryPrefix = queryPrefix;
    this.#maxLength = maxLength;
  }

  /**
   * With a prompt a pair is one text to the tokenizer, else two.
   * @throws InvalidArgumentError for a maxLength that no pair fits into
   */
  static async create(tokenizer: Tokenizer, options: PairOptions): Promise<PairTokenizer> {
    const made = await PairTokenizer.#make(tokenizer, options);
    const least = made.addedTokens + 2;
    if (options.maxLength >= least) return made;
    throw new InvalidArgumentError('maxLength', `at least ${least} tokens, for a pair of two`, options.maxLength);
  }

  static async #make(tokenizer: Tokenizer, options: PairOptions): Promise<PairTokenizer> {
    const { prompt, maxLength } = options;
    if (!prompt) return new PairTokenizer(tokenizer, await tokenizer.pairTemplate(), options);
    const around = await tokenizer.textTemplate();
    const { ids } = await tokenizer.packParts([prompt.after], { maxLength });
    const template = { before: around.before, between: [], betweenFirst: undefined, after: [...ids, ...around.after] };
    return new PairTokenizer(tokenizer, template, options);
  }

  /** Tokens that each pair has beside the query's and the passage's own. */
  get addedTokens(): number {
    const { before, between, after } = this.#template;
    return before.length + between.length + after.length;
  }

  /** The most tokens of its own that a query may have, so that one of the passage still fits. */
  get longestQuery(): number {
    return this.#maxLength - this.addedTokens - 1;
  }

  /**
   * Packs pairs.
   * @returns the pairs in their order, less those whose query leaves no room for a single token of the passage; the
   * places of these are in `tooLong`
   */
  async pack(pairs: readonly Pair[], signal?: AbortSignal): Promise<{ packed: PackedPairs; tooLong: Set<number> }> {
    const { before, between } = this.#prompt;
    const queries = await this.#tokenise(
      pairs.map(({ query }) => before + this.#queryPrefix + query + between),
      signal,
    );
    const passages = await this.#tokenise(
      pairs.map(({ passage }) => passage),
      signal,
    );
    const builder = new PackedTextsBuilder();
    const secondStarts: number[] = [];
    const tooLong = new Set<number>();
    const breathe = breather(signal);
    for (let i = 0; i < pairs.length; i++) {
      const query = queries(i);
      const room = this.#maxLength - this.addedTokens - query.length;
      if (room < 1) tooLong.add(i);
      else secondStarts.push(this.#add(builder, query, this.#tokenizer.cut(passages(i), room)));
      await breathe();
    }
    return { packed: { ...(await builder.finish(signal)), secondStarts: Int32Array.from(secondStarts) }, tooLong };
  }

  /**
   * Joins texts that are tokenised already, without special tokens: each query with the passages of its list.
   * @param lists `rows` holds `listLength` rows of passages for each query; no query may be longer than `longestQuery`
   */
  async join({ queries, passages, rows, listLength }: TokenLists, signal?: AbortSignal): Promise<PackedPairs> {
    const builder = new PackedTextsBuilder();
    const secondStarts = new Int32Array(rows.length);
    const breathe = breather(signal);
    for (let i = 0; i < rows.length; i++) {
      const query = textAt(queries, Math.floor(i / listLength));
      const room = this.#maxLength - this.addedTokens - query.length;
      secondStarts[i] = this.#add(builder, query, this.#tokenizer.cut(textAt(passages, rows[i]!), room));
      await breathe();
    }
    return { ...(await builder.finish(signal)), secondStarts };
  }

  /** Adds a pair, and returns where its second type begins: at the end, where there is none. */
  #add(builder: PackedTextsBuilder, query: Int32Array, passage: Int32Array): number {
    const { before, between, betweenFirst, after } = this.#template;
    const pair = [...before, ...query, ...between, ...passage, ...after];
    builder.add(pair);
    return betweenFirst === undefined ? pair.length : before.length + query.length + betweenFirst;
  }

  /** The tokens of each text by its place, tokenised once however often it comes. */
  async #tokenise(texts: readonly string[], signal?: AbortSignal): Promise<(place: number) => Int32Array> {
    const rows = new Map<string, number>();
    for (const text of texts) if (!rows.has(text)) rows.set(text, rows.size);
    const tokens = await this.#tokenizer.packParts([...rows.keys()], { maxLength: this.#maxLength, signal });
    return (place) => textAt(tokens, rows.get(texts[place]!)!);
  }
}

/** Lists of queries and passages as tokens, without special ones. */
export interface TokenLists {
  queries: PackedTexts;
  passages: PackedTexts;
  /** Queries × listLength rows into `passages`. */
  rows: Int32Array;
  listLength: number;
}

export interface PairOptions {
  /** Longest pair in tokens. */
  maxLength: number;
  prompt?: PairPrompt;
  /** Put before each query. Default none. */
  queryPrefix?: string;
}

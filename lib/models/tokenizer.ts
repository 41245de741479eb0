import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Encoding, Tokenizer as FastTokenizer } from 'tokenizers';
import { InvalidArgumentError, ListwiseError, ModelError } from '../errors.js';
import type { PackedTexts } from '../native.js';
import { PackedTextsBuilder } from './packed-texts.js';
import { type SettledTokenizer, settleTokenizer, type TokenizerModel } from './tokenizer-config.js';

export interface PackOptions {
  /** Put before each text. Default none. */
  prefix?: string;
  /** Longest text in tokens, special tokens included; what is beyond is cut. Default the longest that fits. */
  maxLength?: number;
  signal?: AbortSignal;
  /** Called after each slice with the texts done so far. */
  onSlice?: (done: number) => void;
}

/** A slice is one call of the tokenizer: small enough that taking its ids over costs a few milliseconds. */
const SLICE_TEXTS = 256;
const SLICE_CHARACTERS = 500_000;

/** The special tokens around the two texts of a pair. */
export interface PairTemplate {
  before: number[];
  between: number[];
  /** How many of `between` are of the first text's type; undefined where all of the pair is. */
  betweenFirst: number | undefined;
  after: number[];
}

/** The tokenizer of a model directory. Texts come out packed, with the model's special tokens and without padding. */
export class Tokenizer {
  readonly #definition: string;
  readonly #settled: Pick<SettledTokenizer, 'truncationSide' | 'givesTypes'>;
  readonly #file: string;
  readonly #vocabularySize: number;
  readonly #maxPositions: number;
  // Changing the truncation of a tokenizer waits, on the JS thread, for the work that it does: one for each length.
  readonly #byLength = new Map<number, FastTokenizer>();
  /** One that has no length yet: making another takes long enough to be felt. */
  #spare: FastTokenizer | undefined;
  /** One that never cuts. */
  #counter: FastTokenizer | undefined;
  /** How many special tokens each text gets. */
  readonly specialTokens: number;

  private constructor(
    model: TokenizerModel,
    made: { settled: SettledTokenizer; definition: string; tokenizer: FastTokenizer; specialTokens: number },
  ) {
    this.#definition = made.definition;
    this.#settled = made.settled;
    this.#spare = made.tokenizer;
    this.specialTokens = made.specialTokens;
    this.#file = tokenizerFile(model);
    this.#vocabularySize = model.architecture.vocabularySize;
    this.#maxPositions = model.architecture.maxPositions;
  }

  /**
   * Reads tokenizer.json.
   * @throws ModelError if it is missing or broken
   */
  static async load(model: TokenizerModel): Promise<Tokenizer> {
    const file = tokenizerFile(model);
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      throw new ModelError(
        `${file} is missing. Make it once in Python from the older files: ` +
          `AutoTokenizer.from_pretrained("${model.directory}").save_pretrained("${model.directory}").`,
      );
    });
    try {
      const settled = await settleTokenizer(JSON.parse(text), model);
      const definition = JSON.stringify(settled.definition);
      const tokenizer = FastTokenizer.fromString(definition);
      const specialTokens = (await tokenizer.encode('')).getLength();
      return new Tokenizer(model, { settled, definition, tokenizer, specialTokens });
    } catch (error) {
      if (error instanceof ModelError) throw error;
      throw new ModelError(`${file} cannot be used: ${(error as Error).message}.`, { cause: error });
    }
  }

  /**
   * Tokenises on other threads, slice by slice.
   * @throws InvalidArgumentError naming the first text that is no string, or a maxLength that does not fit the model
   * @throws ModelError if the tokenizer knows tokens that the model does not
   */
  async pack(texts: readonly string[], options: PackOptions = {}): Promise<PackedTexts> {
    const { maxLength = this.#maxPositions } = options;
    this.checkMaxLength(maxLength);
    return this.#pack(texts, { ...options, maxLength }, true);
  }

  /** The same without special tokens: parts of what is joined afterwards. They may be empty. */
  packParts(texts: readonly string[], options: PackOptions & { maxLength: number }): Promise<PackedTexts> {
    return this.#pack(texts, options, false);
  }

  /**
   * The special tokens that the tokenizer puts around pairs, as it does so with one.
   * @throws ListwiseError UNSUPPORTED where the model reads types that are not 0 and then 1
   */
  async pairTemplate(): Promise<PairTemplate> {
    this.#counter ??= FastTokenizer.fromString(this.#definition);
    const encoding = await this.#counter.encode('a', 'b');
    const [ids, sequences] = [encoding.getIds(), encoding.getSequenceIds()];
    const [firstEnd, secondStart, end] = [
      sequences.lastIndexOf(0) + 1,
      sequences.indexOf(1),
      sequences.lastIndexOf(1) + 1,
    ];
    const ones = this.#settled.givesTypes ? this.#secondType(encoding.getTypeIds(), { firstEnd, secondStart }) : -1;
    return {
      before: ids.slice(0, sequences.indexOf(0)),
      between: ids.slice(firstEnd, secondStart),
      betweenFirst: ones < 0 ? undefined : ones - firstEnd,
      after: ids.slice(end),
    };
  }

  /** Where the second type begins in a pair; -1 where it does not. */
  #secondType(types: number[], { firstEnd, secondStart }: { firstEnd: number; secondStart: number }): number {
    const ones = types.indexOf(1);
    const isInOrder = types.every((type, i) => type === (ones < 0 || i < ones ? 0 : 1));
    if (isInOrder && (ones < 0 || (ones >= firstEnd && ones <= secondStart))) return ones;
    throw new ListwiseError(
      'UNSUPPORTED',
      `${this.#file} gives the tokens of a pair the types ${types.join(', ')}, which is not supported; supported: 0 for ` +
        'the first text and 0 or 1 for the second.',
    );
  }

  /** Cuts a text's tokens (without special ones) to so many, at the end that the tokenizer cuts off. */
  cut(tokens: Int32Array, length: number): Int32Array {
    if (this.#settled.truncationSide === 'right') return tokens.subarray(0, length);
    return tokens.subarray(Math.max(0, tokens.length - length));
  }

  /** The special tokens around a text alone. */
  async textTemplate(): Promise<Pick<PairTemplate, 'before' | 'after'>> {
    this.#counter ??= FastTokenizer.fromString(this.#definition);
    const encoding = await this.#counter.encode('a');
    const [ids, sequences] = [encoding.getIds(), encoding.getSequenceIds()];
    return { before: ids.slice(0, sequences.indexOf(0)), after: ids.slice(sequences.lastIndexOf(0) + 1) };
  }

  async #pack(
    texts: readonly string[],
    options: PackOptions & { maxLength: number },
    addSpecialTokens: boolean,
  ): Promise<PackedTexts> {
    const { prefix = '', maxLength, signal, onSlice } = options;
    const tokenizer = this.#forLength(maxLength);
    const builder = new PackedTextsBuilder();
    for (const end of sliceEnds(texts)) {
      signal?.throwIfAborted();
      const slice = texts.slice(builder.count, end).map((text) => prefix + text);
      this.#add(builder, await tokenizer.encodeBatch(slice, { addSpecialTokens }));
      onSlice?.(end);
    }
    return builder.finish();
  }

  /** How many tokens each text has, uncut and without special tokens. */
  async count(texts: readonly string[], { signal }: Pick<PackOptions, 'signal'> = {}): Promise<Int32Array> {
    this.#counter ??= FastTokenizer.fromString(this.#definition);
    const counts = new Int32Array(texts.length);
    let start = 0;
    for (const end of sliceEnds(texts)) {
      signal?.throwIfAborted();
      const encodings = await this.#counter.encodeBatch(texts.slice(start, end), { addSpecialTokens: false });
      for (const encoding of encodings) counts[start++] = encoding.getLength();
    }
    return counts;
  }

  /** @throws InvalidArgumentError unless a text may be cut to this many tokens */
  checkMaxLength(maxLength: number, argument = 'maxLength'): void {
    if (Number.isInteger(maxLength) && maxLength > this.specialTokens && maxLength <= this.#maxPositions) return;
    throw new InvalidArgumentError(
      argument,
      `a whole number from ${this.specialTokens + 1} to ${this.#maxPositions}, the most that this model can read,`,
      maxLength,
    );
  }

  #forLength(maxLength: number): FastTokenizer {
    let tokenizer = this.#byLength.get(maxLength);
    if (!tokenizer) {
      tokenizer = this.#spare ?? FastTokenizer.fromString(this.#definition);
      this.#spare = undefined;
      tokenizer.setTruncation(maxLength, { direction: this.#settled.truncationSide });
      this.#byLength.set(maxLength, tokenizer);
    }
    return tokenizer;
  }

  #add(builder: PackedTextsBuilder, encodings: Encoding[]): void {
    for (const encoding of encodings) {
      const ids = encoding.getIds();
      const unknown = ids.find((id) => id >= this.#vocabularySize);
      if (unknown !== undefined) {
        throw new ModelError(
          `${this.#file} gave token id ${unknown}, but the model's vocab_size is ${this.#vocabularySize}: ` +
            'the tokenizer belongs to another model.',
        );
      }
      builder.add(ids);
    }
  }
}

function tokenizerFile(model: TokenizerModel): string {
  return join(model.directory, model.transformerPath, 'tokenizer.json');
}

/** Where each slice ends. Checks on the way that every text is a string. */
function* sliceEnds(texts: readonly string[]): Generator<number> {
  let start = 0;
  let characters = 0;
  for (let i = 0; i < texts.length; i++) {
    const text: unknown = texts[i];
    if (typeof text !== 'string') throw new InvalidArgumentError(`texts[${i}]`, 'a string', text);
    characters += text.length;
    if (i + 1 - start < SLICE_TEXTS && characters < SLICE_CHARACTERS) continue;
    yield i + 1;
    start = i + 1;
    characters = 0;
  }
  if (start < texts.length) yield texts.length;
}

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Encoding, Tokenizer as FastTokenizer } from 'tokenizers';
import { InvalidArgumentError, ModelError } from '../errors.js';
import type { PackedTexts } from '../native.js';
import { readConfigObject } from './config-file.js';
import type { ModelDirectory } from './directory.js';
import { PackedTextsBuilder } from './packed-texts.js';

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

type Json = Record<string, unknown>;

/** What a tokenizer needs to know of a model. */
export type TokenizerModel = Pick<ModelDirectory, 'directory' | 'transformerPath' | 'lowerCase'> & {
  architecture: Pick<ModelDirectory['architecture'], 'vocabularySize' | 'maxPositions'>;
};

/** The special tokens around the two texts of a pair. */
export interface PairTemplate {
  before: number[];
  between: number[];
  /** How many of `between` are of the first text's type. */
  betweenFirst: number;
  after: number[];
}

/** The tokenizer of a model directory. Texts come out packed, with the model's special tokens and without padding. */
export class Tokenizer {
  readonly #definition: string;
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
    made: { definition: string; tokenizer: FastTokenizer; specialTokens: number },
  ) {
    this.#definition = made.definition;
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
      const definition = JSON.parse(text) as Json;
      // Both are for the caller to decide; a stored padding would even fill short texts.
      definition['truncation'] = null;
      definition['padding'] = null;
      definition['normalizer'] = await settledNormalizer(definition['normalizer'] as Json | null, model);
      const settled = JSON.stringify(definition);
      const tokenizer = FastTokenizer.fromString(settled);
      const specialTokens = (await tokenizer.encode('')).getLength();
      return new Tokenizer(model, { definition: settled, tokenizer, specialTokens });
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

  /** The special tokens that the tokenizer puts around pairs, as it does so with one. */
  async pairTemplate(): Promise<PairTemplate> {
    this.#counter ??= FastTokenizer.fromString(this.#definition);
    const encoding = await this.#counter.encode('a', 'b');
    const [ids, sequences, types] = [encoding.getIds(), encoding.getSequenceIds(), encoding.getTypeIds()];
    const [firstEnd, secondStart, end] = [
      sequences.lastIndexOf(0) + 1,
      sequences.indexOf(1),
      sequences.lastIndexOf(1) + 1,
    ];
    return {
      before: ids.slice(0, sequences.indexOf(0)),
      between: ids.slice(firstEnd, secondStart),
      betweenFirst: types.slice(firstEnd, secondStart).filter((type) => type === 0).length,
      after: ids.slice(end),
    };
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
      tokenizer.setTruncation(maxLength);
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

/**
 * The normalizer that Python would use: BERT's settings in tokenizer_config.json overrule those in tokenizer.json,
 * and sentence-transformers' do_lower_case lower-cases first.
 */
async function settledNormalizer(normalizer: Json | null, model: TokenizerModel): Promise<Json | null> {
  let settled = normalizer;
  if (settled?.['type'] === 'BertNormalizer') {
    const file = join(model.directory, model.transformerPath, 'tokenizer_config.json');
    const { do_lower_case, strip_accents, tokenize_chinese_chars } = (await readConfigObject(file)) ?? {};
    settled = {
      ...settled,
      lowercase: do_lower_case ?? settled['lowercase'],
      strip_accents: strip_accents ?? settled['strip_accents'],
      handle_chinese_chars: tokenize_chinese_chars ?? settled['handle_chinese_chars'],
    };
  }
  if (!model.lowerCase) return settled;
  const rest = settled?.['type'] === 'Sequence' ? (settled['normalizers'] as Json[]) : settled ? [settled] : [];
  return { type: 'Sequence', normalizers: [{ type: 'Lowercase' }, ...rest] };
}

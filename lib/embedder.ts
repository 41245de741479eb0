import type { CountTokens } from './corpus/splitter.js';
import { InvalidArgumentError } from './errors.js';
import { breather } from './event-loop.js';
import { type EmbeddingModel, loadModel, type ModelOptions, modelOptionNames } from './models/model.js';
import { NativeQueue } from './models/native-queue.js';
import { gatherTexts, rowsByLength } from './models/packed-texts.js';
import { saveModel } from './models/saved-model.js';
import type { ModelSettings } from './models/settings.js';
import { callTokens, mostTokens } from './models/token-budget.js';
import { windowsOf } from './models/windows.js';
import { type PackedTexts, runJob } from './native.js';
import { rejectUnknownOptions } from './option-names.js';
import type { LongWork } from './types.js';

export interface EncodeOptions extends LongWork {
  /** Which prefix and which length apply. Default 'passage'. */
  kind?: 'query' | 'passage';
  /** Longest text in tokens, special tokens included, for this call. */
  maxLength?: number;
}

/** A model that turns texts into embeddings. Calls may overlap: they are served in the order they came. */
export class Embedder implements AsyncDisposable {
  readonly #model: EmbeddingModel;
  readonly #queue = new NativeQueue('Embedder');

  private constructor(model: EmbeddingModel) {
    this.#model = model;
  }

  /**
   * Loads a model in sentence-transformers' layout.
   * @param model a local directory, or a Hub name, which is fetched into the Hub's cache if it is not there
   * @param options see ModelOptions; by default everything is as the model's directory and its recipe say, and
   * embeddings have unit length
   * @throws NotFoundError, ModelError if the directory is missing or broken; ListwiseError UNSUPPORTED if the model is
   * of a kind that is not computed here; InvalidArgumentError for an option that cannot be
   */
  static async load(model: string, options: ModelOptions = {}): Promise<Embedder> {
    rejectUnknownOptions(options, modelOptionNames, 'Embedder.load');
    return new Embedder(await loadModel(model, options));
  }

  /**
   * Encodes with a model that another owns, and may change meanwhile, as training does. It need not be disposed of, and
   * must not, for that would free the model.
   */
  static over(model: EmbeddingModel): Embedder {
    return new Embedder(model);
  }

  /** Numbers in one embedding. */
  get dimension(): number {
    return this.#model.encoder.dimension;
  }

  /** Longest passage in tokens; what is beyond is not read. */
  get maxLength(): number {
    return this.#model.settings.maxLength;
  }

  /** The local directory that the model was read from. */
  get directory(): string {
    return this.#model.directory.directory;
  }

  /** Pooling, prefixes and lengths as settled. */
  get settings(): Readonly<ModelSettings> {
    return this.#model.settings;
  }

  /** Where the model computes, such as 'cpu' or 'cuda:0'. */
  get device(): string {
    return this.#model.encoder.device;
  }

  /**
   * Encodes texts.
   * @returns texts × dimension numbers, row-major, in the order of the texts
   * @throws InvalidArgumentError naming the first text that is no string
   * @throws ListwiseError DISPOSED after dispose; `signal.reason` when aborted, within one native call
   */
  async encode(texts: readonly string[], options: EncodeOptions = {}): Promise<Float32Array> {
    rejectUnknownOptions(options, ['kind', 'maxLength', 'signal', 'onProgress'], 'Embedder.encode');
    const { kind = 'passage', signal } = options;
    const { settings, tokenizer } = this.#model;
    if (kind !== 'query' && kind !== 'passage') throw new InvalidArgumentError('kind', "'query' or 'passage'", kind);
    const { maxLength = kind === 'query' ? settings.queryMaxLength : settings.maxLength } = options;
    tokenizer.checkMaxLength(maxLength);
    if (!Array.isArray(texts)) throw new InvalidArgumentError('texts', 'an array of strings', texts);
    // What the caller does with the array meanwhile must not change what is encoded.
    const copy: readonly string[] = texts.slice();
    await checkTexts(copy, signal);
    return this.#queue.run((abort) => this.#encodeAll(copy, { ...options, kind, maxLength, signal: abort }), signal);
  }

  async #encodeAll(
    texts: readonly string[],
    { kind, maxLength, signal, onProgress }: EncodeOptions & { signal: AbortSignal },
  ): Promise<Float32Array> {
    const { settings, tokenizer } = this.#model;
    const prefix = kind === 'query' ? settings.queryPrefix : settings.passagePrefix;
    const unit = kind === 'query' ? 'queries' : 'passages';
    const embeddings = new Float32Array(texts.length * this.dimension);
    const windows = windowsOf(texts, (some) => tokenizer.pack(some, { prefix, maxLength, signal }));
    let done = 0;
    for await (const { start, packed } of windows) {
      for (const rows of rowsByLength(packed, callTokens(this.device))) {
        await this.#encodeRows(packed, rows, { embeddings, start, signal });
        done += rows.length;
        onProgress?.({ stage: 'encoding', done, total: texts.length, unit });
      }
    }
    return embeddings;
  }

  async #encodeRows(
    window: PackedTexts,
    rows: Int32Array,
    to: { embeddings: Float32Array; start: number; signal: AbortSignal },
  ): Promise<void> {
    const { encoder, settings } = this.#model;
    const { pooling, normalize } = settings;
    const args = { ...gatherTexts(window, rows), pooling, normalize, tokenBudget: mostTokens(this.device) };
    const encoded = await runJob(() => encoder.encode(args), to.signal);
    for (let i = 0; i < rows.length; i++) {
      const row = encoded.subarray(i * this.dimension, (i + 1) * this.dimension);
      to.embeddings.set(row, (to.start + rows[i]!) * this.dimension);
    }
  }

  /**
   * How many tokens each text has, uncut and without prefix and special tokens. Can be passed on by itself, as
   * loadCorpus takes it.
   * @throws InvalidArgumentError naming the first text that is no string
   */
  readonly countTokens: CountTokens = (texts) => this.#model.tokenizer.count(texts);

  /**
   * Saves the model in sentence-transformers' layout, with the settings it was loaded with.
   * @param directory a new or empty one, or an earlier model, which is replaced
   * @throws ListwiseError INVALID_ARGUMENT for an option that there is not; `signal.reason` when aborted
   */
  async save(directory: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    rejectUnknownOptions(options, ['signal'], 'Embedder.save');
    const { signal } = options;
    const card = '# Sentence embeddings\n\nSaved by listwise, with the weights as they were loaded.';
    await this.#queue.run((abort) => saveModel(this.#model, directory, { card, signal: abort }), signal);
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

async function checkTexts(texts: readonly string[], signal?: AbortSignal): Promise<void> {
  const breathe = breather(signal);
  for (let i = 0; i < texts.length; i++) {
    const text: unknown = texts[i];
    if (typeof text !== 'string') throw new InvalidArgumentError(`texts[${i}]`, 'a string', text);
    if (i % 4096 === 0) await breathe();
  }
}

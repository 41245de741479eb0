import type { Tokenizer } from '../models/tokenizer.js';
import type { LongWork } from '../types.js';
import { NumberWriter } from './number-file.js';
import type { TokenFiles } from './token-source.js';

/** Texts that are tokenised in one go: what is in memory of them at a time. */
const TEXTS = 1024;

export interface TokenWriterOptions extends LongWork {
  tokenizer: Tokenizer;
  /** Put before each text. */
  prefix: string;
  /** Longest text in tokens. */
  maxLength: number;
  /** What is counted, for progress. */
  unit: 'queries' | 'passages';
  /** Whether texts are parts of pairs, which get special tokens when they are joined. Default false. */
  areParts?: boolean;
}

/** Tokenises texts as they come, and writes their tokens into a file and where each starts into another. */
export class TokenWriter implements AsyncDisposable {
  readonly #options: TokenWriterOptions;
  readonly #ids: NumberWriter;
  readonly #offsets: NumberWriter;
  #waiting: string[] = [];
  #count = 0;
  #tokens = 0;

  private constructor(options: TokenWriterOptions, { ids, offsets }: { ids: NumberWriter; offsets: NumberWriter }) {
    this.#options = options;
    this.#ids = ids;
    this.#offsets = offsets;
  }

  static async create({ ids, offsets }: TokenFiles, options: TokenWriterOptions): Promise<TokenWriter> {
    const files = { ids: await NumberWriter.create(ids), offsets: await NumberWriter.create(offsets) };
    await files.offsets.add(Float64Array.of(0));
    return new TokenWriter(options, files);
  }

  async add(text: string): Promise<void> {
    this.#waiting.push(text);
    if (this.#waiting.length === TEXTS) await this.#flush();
  }

  async finish(): Promise<void> {
    await this.#flush();
    await this.#ids.finish();
    await this.#offsets.finish();
    const { unit, onProgress } = this.#options;
    onProgress?.({ stage: 'tokenizing', done: this.#count, total: this.#count, unit });
  }

  /** Closes the files of work that was not finished. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ids.close();
    await this.#offsets.close();
  }

  async #flush(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const { tokenizer, prefix, maxLength, unit, areParts, signal, onProgress } = this.#options;
    const packing = { prefix, maxLength, signal };
    const { ids, offsets } = await (areParts
      ? tokenizer.packParts(this.#waiting, packing)
      : tokenizer.pack(this.#waiting, packing));
    await this.#ids.add(ids);
    await this.#offsets.add(Float64Array.from(offsets.subarray(1), (offset) => this.#tokens + offset));
    this.#count += this.#waiting.length;
    this.#tokens += ids.length;
    this.#waiting = [];
    onProgress?.({ stage: 'tokenizing', done: this.#count, total: 0, unit });
  }
}

import { createHash } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cacheDirectory } from '../setup/paths.js';
import type { Passage } from '../types.js';
import type { CorpusReport } from './cleaning.js';
import type { Corpus } from './corpus.js';
import type { CorpusOptions } from './load.js';
import { MemoryCorpus } from './memory-corpus.js';
import { PackedCorpus } from './packed-corpus.js';
import { PackedWriter } from './packed-writer.js';
import type { CorpusPlace } from './places.js';
import type { PlacedPassage } from './sources.js';

/** Bytes that a passage costs in memory besides its texts, about. */
const OVERHEAD = 200;
let temporary = 0;

/** The files of a corpus as they are, and how they were read. */
interface Stamp {
  files: { file: string; size: number; changed: number }[];
  options: Record<string, unknown>;
}

interface Kept {
  stamp?: Stamp;
  report?: CorpusReport;
}

async function stampOf({ format, files }: CorpusPlace, options: CorpusOptions): Promise<Stamp> {
  const { idField, titleField, textField, duplicateIds, emptyTexts, invalidUtf8, controlCharacters } = options;
  const states = await Promise.all(files.map((file) => stat(file)));
  const names = { format, idField, titleField, textField };
  return {
    files: files.map((file, i) => ({ file: resolve(file), size: states[i]!.size, changed: states[i]!.mtimeMs })),
    options: { ...names, duplicateIds, emptyTexts, invalidUtf8, controlCharacters },
  };
}

/** Where the packed corpus of these files is kept. A changed file or option replaces it. */
function keptDirectory({ files, format }: CorpusPlace, { corpusCache }: CorpusOptions): string {
  const name = createHash('sha256')
    .update([format, ...files.map((file) => resolve(file))].join('\n'))
    .digest('hex');
  return join(corpusCache ?? join(cacheDirectory(), 'corpora'), name.slice(0, 32));
}

/** Text files are split by a tokenizer, which nothing here can tell from another; they are read each time. */
function isKept(place: CorpusPlace): boolean {
  return place.format !== 'text';
}

/** The corpus of these files as it was packed before, if they and the options are as they were. */
export async function openKept(place: CorpusPlace, options: CorpusOptions): Promise<Corpus | undefined> {
  const directory = keptDirectory(place, options);
  if (!isKept(place) || !PackedCorpus.isAt(directory)) return undefined;
  const corpus = await PackedCorpus.open(directory);
  const { stamp } = corpus.about as Kept;
  if (JSON.stringify(stamp) === JSON.stringify(await stampOf(place, options))) return corpus;
  corpus[Symbol.dispose]();
  return undefined;
}

/** Takes passages in, in memory as long as they fit and in packed files from then on, and remembers their places. */
export class CorpusCollector implements AsyncDisposable {
  readonly #options: CorpusOptions & { corpusMemory: number; place?: CorpusPlace };
  readonly #files: string[] = [];
  /** Of each row its line, and where rows of the next file start. */
  #lines = new Uint32Array(1 << 10);
  readonly #starts: number[] = [];
  #memory: MemoryCorpus | undefined = new MemoryCorpus();
  #writer: PackedWriter | undefined;
  #bytes = 0;

  constructor(options: CorpusOptions & { corpusMemory: number; place?: CorpusPlace }) {
    this.#options = options;
  }

  /** @returns -1, or the row that has the id already */
  async add(passage: Passage & Partial<PlacedPassage>, breathe: () => Promise<void> | undefined): Promise<number> {
    const { id, title, text, file, line } = passage;
    const bare = { id, title, text };
    const row = (this.#memory ?? this.#writer!).size;
    const earlier = this.#memory ? this.#memory.add(bare) : await this.#writer!.add(bare, breathe);
    if (earlier >= 0) return earlier;
    if (file !== undefined) this.#remember(row, file, line!);
    this.#bytes += id.length + title.length + text.length + OVERHEAD;
    if (this.#memory && this.#bytes > this.#options.corpusMemory) await this.#pack(breathe);
    return -1;
  }

  /** Where a row's passage stands. */
  placeOf(row: number): { file: string; line: number } {
    const file = this.#starts.findLastIndex((start) => start <= row);
    return { file: this.#files[file]!, line: this.#lines[row]! };
  }

  #remember(row: number, file: string, line: number): void {
    if (this.#files.at(-1) !== file) {
      this.#files.push(file);
      this.#starts.push(row);
    }
    if (row === this.#lines.length) {
      const grown = new Uint32Array(2 * row);
      grown.set(this.#lines);
      this.#lines = grown;
    }
    this.#lines[row] = line;
  }

  get #directory(): string {
    const { place, corpusCache } = this.#options;
    if (place && isKept(place)) return keptDirectory(place, this.#options);
    temporary += 1;
    return join(corpusCache ?? join(cacheDirectory(), 'corpora'), `temporary-${process.pid}-${temporary}`);
  }

  async #pack(breathe: () => Promise<void> | undefined): Promise<void> {
    this.#writer = await PackedWriter.create(this.#directory);
    for (const passage of this.#memory!) await this.#writer.add(passage, breathe);
    this.#memory = undefined;
  }

  /** The corpus of what was added. */
  async finish(report?: CorpusReport): Promise<Corpus> {
    if (this.#memory) {
      this.#memory.report = report;
      return this.#memory;
    }
    const { place } = this.#options;
    const kept = place !== undefined && isKept(place);
    const about: Kept = { ...(kept && { stamp: await stampOf(place, this.#options) }), report };
    const writer = this.#writer!;
    await writer.finish(about);
    this.#writer = undefined;
    const corpus = await PackedCorpus.open(writer.directory);
    // The open file stays readable; nothing is left behind when the process ends.
    if (!kept) await rm(writer.directory, { recursive: true, force: true });
    return corpus;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer?.discard();
  }
}

import { readFile } from 'node:fs/promises';
import { Bm25Index, type Bm25Options } from '../candidates/bm25.js';
import { Embeddings, idsOf } from '../candidates/embeddings.js';
import { EmbeddingsFile } from '../candidates/embeddings-file.js';
import { readNpy } from '../candidates/npy.js';
import type { Corpus } from '../corpus/corpus.js';
import { UnusablePassages } from '../corpus/unusable.js';
import { Embedder } from '../embedder.js';
import { DataError } from '../errors.js';
import { hashCorpus, hashTexts } from '../hashes.js';
import { readQueriesOfRun } from '../queries/kept.js';
import type { LongWork, Query } from '../types.js';
import { InputHashes } from './input-hashes.js';
import type { SettledOptions } from './options.js';
import type { RunDirectory } from './run-directory.js';

/** An input that stages read from the disk; `hash` says what it holds now. @throws NotFoundError, from `hash` */
export interface InputSource {
  path: string;
  hash: () => Promise<string>;
}

/** The hashes of inputs, by their names. */
export async function hashesOf(sources: Readonly<Record<string, InputSource>>): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const [name, source] of Object.entries(sources)) hashes[name] = await source.hash();
  return hashes;
}

/** Where a run stands and what its stages work with. Large things are loaded when a stage first asks for them. */
export class Workbench implements AsyncDisposable {
  readonly options: SettledOptions;
  readonly directory: RunDirectory;
  readonly corpus: Corpus;
  /** Where the base model was found. */
  readonly modelDirectory: string;
  readonly #inputs: InputHashes;
  #corpusHash: Promise<string> | undefined;
  #embedder: Promise<Embedder> | undefined;
  #bm25: Promise<Bm25Index> | undefined;
  #passages: Promise<Embeddings> | undefined;

  constructor(parts: { options: SettledOptions; directory: RunDirectory; corpus: Corpus; modelDirectory: string }) {
    this.options = parts.options;
    this.directory = parts.directory;
    this.corpus = parts.corpus;
    this.modelDirectory = parts.modelDirectory;
    this.#inputs = new InputHashes(parts.options.signal);
  }

  get work(): LongWork {
    const { signal, onProgress } = this.options;
    return { signal, onProgress };
  }

  corpusHash(): Promise<string> {
    this.#corpusHash ??= hashCorpus(this.corpus, this.options.signal);
    return this.#corpusHash;
  }

  /** A model's files, by default the base model's, as an input that stages read from the disk. */
  modelSource(path = this.modelDirectory): InputSource {
    return { path, hash: () => this.#inputs.model(path) };
  }

  /** A file that the user named. @param expected what it should be, for the message where it cannot be read */
  fileSource(path: string, expected: string): InputSource {
    return { path, hash: () => this.#inputs.file(path, expected) };
  }

  /** A test set in a directory of BEIR's layout: passages, queries and judgements. */
  collectionSource(path: string, split: string): InputSource {
    return { path, hash: () => this.#inputs.collection(path, split) };
  }

  /** The base model, reading texts as long as training does. */
  embedder(): Promise<Embedder> {
    this.#embedder ??= loadEmbedder(this.options.model, this.options);
    return this.#embedder;
  }

  /** Lets the base model go; a later stage that asks for it loads it again. */
  async releaseEmbedder(): Promise<void> {
    const embedder = await this.#embedder?.catch(() => undefined);
    this.#embedder = undefined;
    await embedder?.dispose();
  }

  /** Lets BM25's index and the embeddings go, likewise. */
  releaseIndexes(): void {
    this.#bm25 = undefined;
    this.#passages = undefined;
  }

  bm25(): Promise<Bm25Index> {
    this.#bm25 ??= Bm25Index.build(this.corpus, { ...bm25Options(this.options), ...this.work });
    return this.#bm25;
  }

  /** The base model's embeddings of the whole corpus, as the embeddings stage wrote them. */
  passages(): Promise<Embeddings> {
    this.#passages ??= readPassages(this);
    return this.#passages;
  }

  /** The same as a file, of which no more is in memory than what is worked on; whoever opens it disposes of it. */
  async openPassages(): Promise<EmbeddingsFile> {
    const passages = await EmbeddingsFile.open(this.directory.file('passageEmbeddings'));
    try {
      await checkPassages(this, passages.rows);
      return passages;
    } catch (error) {
      await passages[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The base model's embeddings of the queries, as the candidates stage wrote them. */
  async queryEmbeddings(): Promise<Embeddings> {
    const { values, columns } = await readNpy(this.directory.file('queryEmbeddings'), this.work);
    return new Embeddings(
      (await this.queries()).map(({ id }) => id),
      values,
      columns,
    );
  }

  /** The queries that the queries stage kept. */
  async queries(): Promise<Query[]> {
    const { signal } = this.options;
    return readQueriesOfRun(this.directory.file('queries'), { corpus: this.corpus, signal });
  }

  /** Passages that are neither sources nor candidates, and why. */
  unusable(): Promise<UnusablePassages> {
    const files = { duplicates: this.directory.file('duplicates'), excluded: this.directory.file('corpus') };
    return UnusablePassages.read(this.corpus, files, this.work);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.releaseEmbedder();
  }
}

/** A model of the run, base or trained, reading texts as long as training does. */
export async function loadEmbedder(model: string, options: SettledOptions): Promise<Embedder> {
  const { device, precision, pooling, queryPrefix, passagePrefix, revision, signal, onProgress } = options;
  const place = { device, precision, pooling, queryPrefix, passagePrefix, revision, signal, onProgress };
  const { queryMaxLength, passageMaxLength } = options;
  return Embedder.load(model, { ...place, queryMaxLength, maxLength: passageMaxLength });
}

export function bm25Options({ bm25K1, bm25B, bm25Delta, bm25Analysis }: SettledOptions): Bm25Options {
  return { bm25K1, bm25B, bm25Delta, bm25Analysis };
}

async function readPassages(bench: Workbench): Promise<Embeddings> {
  const { corpus, directory, options } = bench;
  const { rows, columns, values } = await readNpy(directory.file('passageEmbeddings'), { signal: options.signal });
  await checkPassages(bench, rows);
  return new Embeddings(await idsOf(corpus, options.signal), values, columns);
}

/** @throws DataError if the embeddings on disk are those of another corpus */
async function checkPassages({ corpus, directory, options }: Workbench, rows: number): Promise<void> {
  const index = JSON.parse(await readFile(directory.file('passageIndex'), 'utf8')) as { ids: string };
  if (rows === corpus.size && index.ids === (await hashTexts(corpus.ids(), options.signal))) return;
  const problem = `Expected the embeddings of the ${corpus.size} passages of this corpus but it holds others; remove the file.`;
  throw new DataError({ file: directory.file('passageEmbeddings') }, problem);
}

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NotFoundError } from '../errors.js';
import { JudgedCollection } from '../evaluation/collection.js';
import { beirFile } from '../formats/beir.js';
import { hashInputFile, hashModel, modelFiles } from '../hashes.js';

/** Hashes of what the user named, read again only where size or times say that it may have changed. */
export class InputHashes {
  readonly #known = new Map<string, { state: string; hash: string }>();
  readonly #signal: AbortSignal | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** @param expected what the file should be, for the message. @throws NotFoundError if it cannot be read */
  file(path: string, expected: string): Promise<string> {
    return this.#hash(path, [path], () => hashInputFile(path, expected, this.#signal));
  }

  /** @throws NotFoundError if the directory is not there, or not any more */
  async model(directory: string): Promise<string> {
    const missing = (cause: unknown) =>
      new NotFoundError(`Expected a model at ${directory} but it cannot be read.`, { cause });
    const files = await modelFiles(directory).catch((cause: unknown) => {
      throw missing(cause);
    });
    return this.#hash(directory, files, () => hashModel(directory, this.#signal));
  }

  /** A test set, which is checked on the way. @throws NotFoundError, DataError as JudgedCollection.open */
  async collection(directory: string, split: string): Promise<string> {
    const names = ['corpus.jsonl', 'queries.jsonl', join('qrels', `${split}.tsv`)];
    const files = await Promise.all(names.map((name) => beirFile(directory, name)));
    return this.#hash(`${directory} ${split}`, files, () => hashCollection(directory, split, this.#signal));
  }

  async #hash(name: string, files: readonly string[], hash: () => Promise<string>): Promise<string> {
    const state = JSON.stringify(await Promise.all(files.map(stateOf)));
    const known = this.#known.get(name);
    if (known?.state === state) return known.hash;
    const fresh = { state, hash: await hash() };
    this.#known.set(name, fresh);
    return fresh.hash;
  }
}

async function stateOf(file: string): Promise<unknown> {
  const found = await stat(file).catch(() => undefined);
  return found && [file, found.size, found.mtimeMs, found.ctimeMs, found.ino];
}

/** SHA-256 of a directory's passages, judged queries and judgements, read as a stream. */
async function hashCollection(directory: string, split: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const add = (record: unknown) => hash.update(`${JSON.stringify(record)}\n`);
  const { queries, qrels } = await JudgedCollection.open(directory, { split, signal, onPassage: add });
  for (const query of queries) add(query);
  for (const [query, grades] of qrels) add([query, ...grades]);
  return hash.digest('hex');
}

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { readNpy, writeNpy } from '../candidates/npy.js';
import type { Embedder } from '../embedder.js';
import { DataError } from '../errors.js';
import { writeLines } from '../formats/atomic.js';
import { hashModel, hashTexts } from '../hashes.js';

/**
 * What stands beside embeddings, as <output>.json: how they were made, and the id of each row. It is the guard against
 * vectors of two models in one place.
 */
export interface EmbeddingsRecord {
  model: string;
  /** SHA-256 over the model's files, so that vectors of two models are not mixed. */
  modelHash: string;
  kind: 'query' | 'passage';
  prefix: string;
  /** Both prefixes, as queries must be encoded to search passages and the other way round. */
  prompts: { query: string; passage: string };
  pooling: string;
  normalize: boolean;
  maxLength: number;
  dimension: number;
  /** SHA-256 over the texts in order, so that a changed text does not keep its old vector; '' of a table that grew. */
  textsHash: string;
  ids: string[];
}

interface RecordChoices {
  model: string;
  kind: 'query' | 'passage';
  texts: Iterable<string>;
  maxLength?: number | undefined;
  signal: AbortSignal;
}

/** How this embedder makes embeddings of a kind, without the ids. */
export async function recordOf(
  embedder: Embedder,
  { model, kind, texts, maxLength, signal }: RecordChoices,
): Promise<Omit<EmbeddingsRecord, 'ids'>> {
  const { queryPrefix, passagePrefix, queryMaxLength } = embedder.settings;
  const own = kind === 'query' ? queryMaxLength : embedder.maxLength;
  return {
    ...(await spaceOf(embedder, model, signal)),
    kind,
    prefix: kind === 'query' ? queryPrefix : passagePrefix,
    maxLength: maxLength ?? own,
    textsHash: await hashTexts(texts, signal),
  };
}

/** What two vectors must have in common to be compared. */
const SPACE = ['modelHash', 'prompts', 'pooling', 'normalize', 'dimension'] as const;

/** The space that a model's vectors lie in. Of `model`, its name, only messages speak. */
export type Space = Pick<EmbeddingsRecord, 'model' | (typeof SPACE)[number]>;

/** The space of an embedder's vectors. @param model the embedder's model as its user named it */
export async function spaceOf(embedder: Embedder, model: string, signal?: AbortSignal): Promise<Space> {
  const { pooling, normalize, queryPrefix, passagePrefix } = embedder.settings;
  const modelHash = await hashModel(embedder.directory, signal);
  const prompts = { query: queryPrefix, passage: passagePrefix };
  return { model, modelHash, prompts, pooling, normalize, dimension: embedder.dimension };
}

/** Writes the matrix as .npy and its record beside it. */
export async function writeEmbeddings(
  file: string,
  { record, values, signal }: { record: EmbeddingsRecord; values: Float32Array; signal: AbortSignal },
): Promise<void> {
  const { ids, dimension } = record;
  await writeNpy(file, { rows: ids.length, columns: dimension, values }, { signal });
  await writeRecord(file, record);
}

/** The record beside embeddings of whatever format. */
export async function writeRecord(file: string, record: EmbeddingsRecord): Promise<void> {
  await writeLines(`${file}.json`, [JSON.stringify(record)]);
}

/**
 * Embeddings that were written before, if there are any.
 * @throws DataError if they were made in another way than `expected`, or the two files do not fit
 */
export async function readEmbeddings(
  file: string,
  { expected, signal }: { expected: Omit<EmbeddingsRecord, 'ids'>; signal: AbortSignal },
): Promise<{ ids: string[]; values: Float32Array } | null> {
  if (!existsSync(file)) return null;
  const record = await readRecord(`${file}.json`);
  for (const [field, wanted] of Object.entries(expected)) {
    const found = record[field as keyof EmbeddingsRecord];
    // A model may be named in several ways; the hash of its files says which it is.
    if (field === 'model' || isDeepStrictEqual(found, wanted)) continue;
    if (field === 'modelHash') throw otherModel(file, record.model, expected.model);
    if (field === 'textsHash') throw otherTexts(file);
    throw new DataError(
      { file: `${file}.json`, field },
      `Expected embeddings with ${field} ${JSON.stringify(wanted)} but these have ${JSON.stringify(found)}; remove ` +
        'both files to have them made anew, or name another file.',
    );
  }
  const { rows, columns, values } = await readNpy(file, { signal });
  if (rows === record.ids.length && columns === record.dimension) return { ids: record.ids, values };
  const problem = `Expected ${record.ids.length} × ${record.dimension} numbers, as ${file}.json says, but found ${rows} × ${columns}.`;
  throw new DataError({ file }, problem);
}

/**
 * Checks that new embeddings may stand where others are, or beside them: both are of one model, read in one way.
 * @param output where the others are, if there are any
 * @throws DataError naming what differs, or the record that is missing beside embeddings of whatever origin
 */
export async function checkMayWrite(output: string, space: Space): Promise<void> {
  const remedy = 'embed everything anew (--if-exists replace), or name another output';
  if (hasRecord(output)) return checkSameSpace(output, space, remedy);
  if (!existsSync(output)) return;
  throw new DataError(
    { file: output },
    `Expected ${output}.json beside the embeddings that are there, to say of which model they are, but it is missing, so ` +
      `these might not compare with them: ${remedy}.`,
  );
}

/** Whether there is a record of what embeddings are of. */
export function hasRecord(file: string): boolean {
  return existsSync(`${file}.json`);
}

/**
 * Checks that embeddings, as their record says, lie in the space of others.
 * @param remedy what to do where they do not
 * @throws DataError naming what differs
 */
export async function checkSameSpace(file: string, space: Space, remedy: string): Promise<void> {
  const there = await readRecord(`${file}.json`);
  for (const field of SPACE) {
    if (isDeepStrictEqual(there[field], space[field])) continue;
    const [before, now] = [there, space].map((one) => (field === 'modelHash' ? one.model : JSON.stringify(one[field])));
    throw new DataError(
      { file: `${file}.json`, field },
      `Expected the embeddings that are there to be of the same model, but they have ${before} and these ${now}. ` +
        `Vectors of two models do not compare: ${remedy}.`,
    );
  }
}

function otherModel(file: string, found: unknown, wanted: string): DataError {
  return new DataError(
    { file: `${file}.json`, field: 'modelHash' },
    `Expected embeddings of the model ${wanted} as its files are now, but these come from other files (${found}); ` +
      'remove both files to have them made anew, or name another file.',
  );
}

function otherTexts(file: string): DataError {
  return new DataError(
    { file: `${file}.json`, field: 'textsHash' },
    'Expected embeddings of these texts as they are now, but these are of other texts or of another order; remove both ' +
      'files to have them made anew, or name another file.',
  );
}

async function readRecord(file: string): Promise<EmbeddingsRecord> {
  try {
    const record = JSON.parse(await readFile(file, 'utf8'));
    if (Array.isArray(record?.ids)) return record;
  } catch (cause) {
    throw new DataError({ file }, `Expected the record of the embeddings beside them: ${(cause as Error).message}.`);
  }
  throw new DataError({ file, field: 'ids' }, 'Expected the id of each row but there are none.');
}

import { extname } from 'node:path';
import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import { writeJsonl } from '../formats/jsonl.js';
import { type EmbeddingsRecord, writeEmbeddings, writeRecord } from './file.js';
import { writeLanceTable } from './lance.js';
import { writeParquet } from './parquet.js';

/** What to do where embeddings are: refuse those of another model, replace whatever is there, or add to a table. */
export type IfExists = 'refuse' | 'replace' | 'append';

export const ifExistsChoices: readonly IfExists[] = ['refuse', 'replace', 'append'];

/** Embeddings with what they are of: row i of `values` (ids × dimension) is of ids[i] and texts[i]. */
export interface EmbeddedTexts {
  record: EmbeddingsRecord;
  texts: readonly string[];
  values: Float32Array;
  signal: AbortSignal;
}

/** Where embeddings are written, with their record beside them. */
export interface EmbeddingsTarget {
  write(embedded: EmbeddedTexts): Promise<void>;
}

/**
 * The target that a file's name asks for by its ending.
 * @throws InvalidArgumentError for another ending, or where `append` is asked of a file
 */
export function openTarget(output: string, ifExists: IfExists): EmbeddingsTarget {
  const write = WRITERS[extname(output)];
  if (!write) {
    throw new InvalidArgumentError('output', 'a name that ends in .npy, .parquet, .jsonl or .lance', output);
  }
  if (ifExists === 'append' && extname(output) !== '.lance') {
    throw new InvalidArgumentError('ifExists', "'refuse' or 'replace' for a file", ifExists, 'only .lance tables grow');
  }
  return { write: (embedded) => write(output, embedded, ifExists) };
}

type Writer = (output: string, embedded: EmbeddedTexts, ifExists: IfExists) => Promise<void>;

const WRITERS: Readonly<Record<string, Writer>> = {
  '.npy': writeEmbeddings,
  '.jsonl': async (output, { record, values, signal }) => {
    await writeJsonl(output, lines(record.ids, values, signal), { signal });
    await writeRecord(output, record);
  },
  '.parquet': async (output, embedded) => {
    await writeParquet(output, embedded);
    await writeRecord(output, embedded.record);
  },
  '.lance': async (output, embedded, ifExists) => {
    const ids = await writeLanceTable(output, embedded, ifExists === 'append');
    // Of a table that has grown no hash of all texts is known.
    const grown = ids.length > embedded.record.ids.length;
    await writeRecord(output, { ...embedded.record, ids, ...(grown && { textsHash: '' }) });
  },
};

async function* lines(ids: readonly string[], values: Float32Array, signal: AbortSignal): AsyncGenerator<object> {
  const breathe = breather(signal);
  const dimension = values.length / ids.length;
  for (const [row, id] of ids.entries()) {
    yield { _id: id, embedding: Array.from(values.subarray(row * dimension, (row + 1) * dimension)) };
    await breathe();
  }
}

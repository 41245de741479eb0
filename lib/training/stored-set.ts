import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readNumbers } from './number-file.js';
import { openTokens, type TokenFiles, type TokenSource } from './token-source.js';
import type { TrainingPair, TrainingSet } from './training-set.js';

/** Which lists of a set. */
export type Part = 'train' | 'dev';

/** What a store says of itself: set.json, written last. */
export interface StoreRecord {
  format: number;
  listLength: Record<Part, number>;
  hashes: Record<string, string>;
  /** Bytes of each file. */
  files: Record<string, number>;
}

/** Of the files, and where the record of them is. */
export const FORMAT = 1;
export const RECORD = 'set.json';

/** The files of texts as tokens, by what they are. */
export function tokenFiles(directory: string, name: string): TokenFiles {
  return { ids: join(directory, `${name}.i32`), offsets: join(directory, `${name}.f64`) };
}

/** What a store says of itself if it is whole. */
export async function readRecord(directory: string): Promise<StoreRecord | undefined> {
  const text = await readFile(join(directory, RECORD), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const record = parseRecord(text);
  if (record?.format !== FORMAT) return undefined;
  for (const [name, size] of Object.entries(record.files)) {
    const found = await stat(join(directory, name)).catch(() => undefined);
    if (found?.size !== size) return undefined;
  }
  return record;
}

function parseRecord(text: string): StoreRecord | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Opens a set that is whole. Disposing of it closes its files. */
export async function openSet(
  directory: string,
  { listLength, hashes, files }: StoreRecord,
  { name, memoryBytes, signal }: { name: string; memoryBytes: number; signal?: AbortSignal },
): Promise<TrainingPair & AsyncDisposable> {
  const options = { memoryBytes, signal };
  const opened: (TokenSource & Partial<AsyncDisposable>)[] = [];
  const open = async (texts: string) => {
    const source = await openTokens(tokenFiles(directory, texts), options);
    opened.push(source);
    return source;
  };
  const passages = await open('passages');
  const part = async (which: Part): Promise<TrainingSet> => ({
    ...{ listLength: listLength[which], passages, queries: await open(`${which}.queries`) },
    ...(await openLists(directory, which, { listLength: listLength[which], signal })),
  });
  const [train, dev] = [await part('train'), 'dev.rows.i32' in files ? await part('dev') : undefined];
  const close = async () => {
    for (const source of opened) await source[Symbol.asyncDispose]?.();
  };
  return { name, train, dev, hashes, [Symbol.asyncDispose]: close };
}

async function openLists(
  directory: string,
  part: Part,
  { listLength, signal }: { listLength: number; signal?: AbortSignal },
): Promise<Pick<TrainingSet, 'size' | 'rows' | 'teacher' | 'idOf'>> {
  const file = (name: string) => join(directory, `${part}.${name}`);
  const rows = await readNumbers(file('rows.i32'), Int32Array, signal);
  const teacher = await readNumbers(file('teacher.f64'), Float64Array, signal);
  const ids = Buffer.from((await readNumbers(file('ids.u8'), Uint8Array, signal)).buffer);
  const ends = await readNumbers(file('ids.f64'), Float64Array, signal);
  const idOf = (place: number) => ids.toString('utf8', place === 0 ? 0 : ends[place - 1], ends[place]);
  return { size: rows.length / listLength, rows, teacher, idOf };
}

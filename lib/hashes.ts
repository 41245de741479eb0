import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Corpus } from './corpus/corpus.js';
import { NotFoundError } from './errors.js';
import { breather } from './event-loop.js';
import { readLines } from './formats/lines.js';

/** Anything that JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json | undefined };

/** JSON with the names of objects in order, so that equal values have equal texts. */
export function canonicalJson(value: Json | undefined): string {
  if (value === null || value === undefined || typeof value !== 'object') return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map((item: Json) => canonicalJson(item)).join(',')}]`;
  const fields = Object.entries(value as { readonly [name: string]: Json | undefined })
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`).join(',')}}`;
}

/** SHA-256 of a value, as hexadecimal digits. */
export function hashJson(value: Json): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}

/** SHA-256 of a file's bytes. @throws `signal.reason` when aborted */
export async function hashFile(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  // Not the stream's own `signal`: its AbortError would take the place of the reason.
  signal?.throwIfAborted();
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

/**
 * SHA-256 of a file that the user named.
 * @param expected what it should be, for the message
 * @throws NotFoundError if it cannot be read, or is a pipe or device, of which nothing is left after the first reading
 */
export async function hashInputFile(file: string, expected: string, signal?: AbortSignal): Promise<string> {
  const found = await stat(file).catch(() => undefined);
  if (found && !found.isFile() && !found.isDirectory()) {
    const problem = 'it is a pipe or device, and a run reads its inputs several times; write it to a file first';
    throw new NotFoundError(`Expected ${expected} at ${file} but ${problem}.`);
  }
  for await (const _ of readLines(file, { signal, expected })) break;
  return hashFile(file, signal);
}

/** SHA-256 of texts, each with its end marked. */
export async function hashTexts(texts: Iterable<string>, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const breathe = breather(signal);
  for (const text of texts) {
    hash.update(JSON.stringify(text));
    await breathe();
  }
  return hash.digest('hex');
}

/** SHA-256 of a corpus: ids, titles and texts in order. */
export function hashCorpus(corpus: Corpus, signal?: AbortSignal): Promise<string> {
  return hashTexts(fields(corpus), signal);
}

function* fields(corpus: Corpus): Generator<string> {
  for (const { id, title, text } of corpus) yield* [id, title, text];
}

const MODEL_FILE = /\.(json|safetensors|txt|model)$/;

/** What of a model directory decides its embeddings: configuration, tokeniser and weights. */
export async function modelFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory() && MODEL_FILE.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** SHA-256 of a model directory's files, with their names. */
export async function hashModel(directory: string, signal?: AbortSignal): Promise<string> {
  const hashes: Record<string, string> = {};
  for (const file of await modelFiles(directory)) {
    hashes[relative(directory, file).split(sep).join('/')] = await hashFile(file, signal);
  }
  return hashJson(hashes);
}

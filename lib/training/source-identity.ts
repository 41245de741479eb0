import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Corpus, type CorpusSource, checkCorpusSource, loadCorpus } from '../corpus/corpus.js';
import { PackedCorpus } from '../corpus/packed-corpus.js';
import { findCorpusFiles } from '../corpus/places.js';
import { hashCorpus, hashTexts, type Json } from '../hashes.js';
import type { LongWork } from '../types.js';
import type { ListsSource, NamedSource } from './sources.js';

/**
 * What a source is, to be compared: files by path, size and time of change, so that a large one need not be read; what
 * is at hand by the hash of its content.
 */
export async function identify(
  source: NamedSource,
  { signal, onProgress }: LongWork,
): Promise<{ source: NamedSource; identity: Json }> {
  const { lists, dev, corpus: given } = source;
  // Passages that come one after the other come only once.
  if (given !== undefined && !(given instanceof Map)) checkCorpusSource(given);
  const isRead = given === undefined || typeof given === 'string' || given instanceof Map;
  const corpus = isRead ? given : await loadCorpus(given as CorpusSource, { signal, onProgress });
  const identity: Json = {
    lists: await identifyLists(lists, signal),
    dev: dev === undefined ? null : await identifyLists(dev, signal),
    corpus: await identifyCorpus(corpus, signal),
  };
  return { source: { ...source, corpus }, identity };
}

function identifyLists(lists: ListsSource, signal?: AbortSignal): Promise<Json> {
  return typeof lists === 'string' ? identifyFiles([lists]) : hashTexts(jsonOf(lists), signal);
}

async function identifyCorpus(corpus: NamedSource['corpus'], signal?: AbortSignal): Promise<Json> {
  if (corpus === undefined) return null;
  if (corpus instanceof Map) return hashTexts(jsonOf(corpus), signal);
  if (typeof corpus !== 'string') return hashCorpus(corpus as Corpus, signal);
  if (PackedCorpus.isAt(corpus)) return identifyFiles((await readdir(corpus)).sort().map((name) => join(corpus, name)));
  return identifyFiles((await findCorpusFiles(corpus)).files);
}

function* jsonOf(items: Iterable<unknown>): Generator<string> {
  // What is no JSON is refused later, in words.
  for (const item of items)
    yield JSON.stringify(item, (_, value) => (typeof value === 'bigint' ? `${value}n` : value)) ?? '';
}

/** A file that is not there is found out about, and said, when it is read. */
async function identifyFiles(files: readonly string[]): Promise<Json> {
  const identities: Json[] = [];
  for (const file of files) {
    const found = await stat(file, { bigint: true }).catch(() => undefined);
    identities.push([resolve(file), String(found?.size), String(found?.mtimeNs)]);
  }
  return identities;
}

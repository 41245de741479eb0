import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { randomTexts, temporaryDirectory } from './helpers.js';

/** Passages of the made-up collection. */
export const PASSAGES = 60;

export const jsonl = (records: object[]) => `${records.map((record) => JSON.stringify(record)).join('\n')}\n`;

/**
 * A BEIR directory of made-up words, with written queries (written.jsonl) that are parts of passages.
 * @param judged numbers of the passages that have a test query, a part of theirs
 */
export function writeCollection({ judged = [7, 21, 33, 45, 59], seed = 4 } = {}): string {
  const directory = temporaryDirectory();
  const texts = randomTexts(PASSAGES, { longest: 8, seed }).map((text, i) => `${text} passage ${'abcdef'[i % 6]}`);
  const part = (i: number, count: number) => texts[i]!.split(' ').slice(0, count).join(' ');
  mkdirSync(join(directory, 'qrels'));
  writeFileSync(join(directory, 'corpus.jsonl'), jsonl(texts.map((text, i) => ({ _id: `p${i}`, title: '', text }))));
  const written = texts.flatMap((_, i) => [
    { passage: `p${i}`, type: 'web', query: part(i, 3) },
    { passage: `p${i}`, type: 'title', query: part(i, 5) },
  ]);
  writeFileSync(join(directory, 'written.jsonl'), jsonl(written));
  const kind = (i: number) => (i % 2 ? 'odd' : 'even');
  const queries = judged.map((i) => ({ _id: `t${i}`, text: part(i, 4), metadata: { kind: kind(i) } }));
  writeFileSync(join(directory, 'queries.jsonl'), jsonl(queries));
  const qrels = judged.map((i) => `t${i}\tp${i}\t1`);
  writeFileSync(join(directory, 'qrels', 'test.tsv'), `query-id\tcorpus-id\tscore\n${qrels.join('\n')}\n`);
  return directory;
}

interface TinyRun extends Partial<SpecializeOptions> {
  collection: string;
  model: string;
}

/** Options of a run that are small enough for random weights: half of the corpus counts as near. */
export function tinyRun({ collection, model, ...more }: TinyRun): SpecializeOptions {
  return {
    corpus: collection,
    model,
    queries: join(collection, 'written.jsonl'),
    output: join(temporaryDirectory(), 'run'),
    ...{ minCharacters: 3, depth: 30, maxSourceRank: 30, minCandidates: 10, listLength: 5, batchSize: 16 },
    ...{ maxSteps: 3, warmupSteps: 0, learningRate: 1e-3, evaluateEvery: 1, resamples: 200 },
    ...more,
  };
}

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StudyOptions } from '../lib/study/options.js';
import { type Study, study } from '../lib/study/study.js';
import { writeTinyModel } from './helpers.js';
import { jsonl, PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

/** Adds queries of people to train on: the first words of every other passage. */
function addHumanQueries(collection: string): void {
  const corpus = readFileSync(join(collection, 'corpus.jsonl'), 'utf8').trimEnd().split('\n');
  const passages = corpus.map((line) => JSON.parse(line)).filter((_, i) => i % 2 === 0);
  const queries = passages.map(({ _id, text }) => ({ _id: `h${_id}`, text: text.split(' ').slice(0, 4).join(' ') }));
  const known = readFileSync(join(collection, 'queries.jsonl'), 'utf8');
  writeFileSync(join(collection, 'queries.jsonl'), known + jsonl(queries));
  const qrels = passages.map(({ _id }) => `h${_id}\t${_id}\t1`);
  mkdirSync(join(collection, 'qrels'), { recursive: true });
  writeFileSync(join(collection, 'qrels', 'train.tsv'), `query-id\tcorpus-id\tscore\n${qrels.join('\n')}\n`);
}

/** 60 passages, half of them judged, with queries that were written for them and queries of people. */
export const collection = writeCollection({ judged: Array.from({ length: PASSAGES / 2 }, (_, i) => 2 * i + 1) });
addHumanQueries(collection);

export const model = writeTinyModel();

/** Of a small study of all variants, in a directory of its own. */
export const studyOptions = (more: Partial<StudyOptions> = {}): StudyOptions => ({
  ...(tinyRun({ collection, model }) as Partial<StudyOptions> as StudyOptions),
  ...{ data: collection, humanQueries: collection, devShare: 0.2, patience: 99, ...more },
});

/** A study with what became of its stages, such as 'lists done'. */
export async function runStudy(given: StudyOptions): Promise<{ result: Study; did: string[] }> {
  const did: string[] = [];
  const result = await study({ ...given, onStage: ({ stage, status }) => did.push(`${stage} ${status}`) });
  return { result, did };
}

export const wholeOptions = studyOptions();

let whole: ReturnType<typeof runStudy> | undefined;

/** The study of all variants, which takes its time: it is done once for all specs. */
export function wholeStudy(): ReturnType<typeof runStudy> {
  whole ??= runStudy(wholeOptions);
  return whole;
}

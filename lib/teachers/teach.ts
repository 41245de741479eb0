import { type Corpus, type CorpusSource, loadCorpus } from '../corpus/corpus.js';
import { passageText } from '../corpus/passage.js';
import { DataError, describe, InvalidArgumentError } from '../errors.js';
import {
  type JsonRecord,
  optionalString,
  type RecordPlace,
  readJsonl,
  requireId,
  requireString,
} from '../formats/jsonl.js';
import { readTrecRun } from '../formats/trec.js';
import { rejectUnknownOptions } from '../option-names.js';
import { lockOutput } from '../output-lock.js';
import type { LongWork, Query, Run } from '../types.js';
import { membersOf, type SingleChoice, settleTeacher, type TeacherChoice } from './choice.js';
import type { EnsembleOptions } from './ensemble.js';
import { type ScoringCounts, type ScoringTask, writeScores } from './members.js';
import { openAnswers, openTeacher } from './open.js';
import type { Teacher } from './teacher.js';

export interface TeachOptions extends LongWork, EnsembleOptions {
  /** The passages: the path of their files, or passages. */
  corpus: CorpusSource;
  /** JSON Lines of queries, by `_id` and `text` as in BEIR, or by `id` and `query` as in a run directory. */
  queries: string;
  /** A TREC run: which passages are scored for which query. */
  candidates: string;
  /** Any but 'fused', which needs the embedder: see TeacherChoice. */
  teacher: TeacherChoice;
  /** Where the scores go: JSON Lines of {"query", "passage", "score"}. Answers of servers are kept in `<output>.answers`. */
  output: string;
}

const OPTIONS = ['corpus', 'queries', 'candidates', 'teacher', 'output', 'lowPercentile', 'highPercentile'];

/**
 * Has a teacher score the candidates of queries, for `specialize` to take as a teacher's file, or for any other use.
 * Stopped and started again, it asks for nothing twice.
 * @throws InvalidArgumentError for options; NotFoundError, DataError for files; RemoteError and BudgetError for servers;
 *   ListwiseError BUSY if another process writes the same scores, so that none pays for what the other asks;
 *   `signal.reason` when aborted
 */
export async function teach(options: TeachOptions): Promise<ScoringCounts & { output: string }> {
  rejectUnknownOptions(options, [...OPTIONS, 'signal', 'onProgress'], 'teach');
  for (const name of ['queries', 'candidates', 'output'] as const) {
    if (typeof options[name] === 'string' && options[name] !== '') continue;
    throw new InvalidArgumentError(name, 'a path that is not empty', options[name]);
  }
  const { output, lowPercentile, highPercentile, signal, onProgress } = options;
  const members = membersOf(settleTeacher(options.teacher));
  using _ = await lockOutput(`${output}.answers`, { file: `${output}.lock` });
  // A key that is missing, or a file, should show before a corpus is read.
  for (const { teacher } of members) await open(teacher, signal);
  const corpus = await loadCorpus(options.corpus, { signal, onProgress });
  const task = await taskOf(options, corpus);
  const work = { lowPercentile, highPercentile, signal, onProgress };
  const counts = await writeScores(output, task, {
    ...{ members, ...work },
    open: (choice) => open(choice, signal),
    openJournal: (choice) => openAnswers(`${output}.answers`, choice, { signal }),
  });
  return { output, ...counts };
}

async function open(choice: SingleChoice, signal?: AbortSignal): Promise<Teacher> {
  if (choice.kind !== 'fused') return openTeacher(choice, { signal });
  throw new InvalidArgumentError(
    'teacher',
    'a teacher that needs no embedder, or specialize for this one,',
    choice.kind,
  );
}

async function taskOf({ queries: file, candidates, signal }: TeachOptions, corpus: Corpus): Promise<ScoringTask> {
  const run = await readTrecRun(candidates, { signal, expected: 'candidates as a TREC run' });
  const queries = new Map<string, Query>();
  for await (const { value, line } of readJsonl(file, { signal, expected: 'queries in JSON Lines' })) {
    const query = readQuery(value, { file, line });
    if (run.has(query.id)) queries.set(query.id, query);
  }
  checkCandidates({ run, queries, corpus, file: candidates });
  const requests = function* () {
    for (const [id, query] of queries) {
      yield {
        query,
        passages: run.get(id)!.map(({ id: passage }) => ({ id: passage, text: passageText(corpus.get(passage)!) })),
      };
    }
  };
  return { queries, requests, pairs: [...run.values()].reduce((sum, ranking) => sum + ranking.length, 0) };
}

function readQuery(value: JsonRecord, place: RecordPlace): Query {
  const type = optionalString(value, 'type', place);
  const source = value.passage === undefined ? {} : { source: requireId(value, 'passage', place) };
  const id = requireId(value, '_id' in value ? '_id' : 'id', place);
  return { id, type, text: requireString(value, 'text' in value ? 'text' : 'query', place), ...source };
}

interface Checked {
  run: Run;
  queries: ReadonlyMap<string, Query>;
  corpus: Corpus;
  file: string;
}

function checkCandidates({ run, queries, corpus, file }: Checked): void {
  for (const [id, ranking] of run) {
    if (!queries.has(id)) {
      throw new DataError({ file }, `Expected queries of the queries file but ${describe(id)} is not there.`);
    }
    const unknown = ranking.find((passage) => !corpus.has(passage.id));
    if (!unknown) continue;
    throw new DataError(
      { file },
      `Expected passages of the corpus but ${describe(unknown.id)} of query ${describe(id)} is not there.`,
    );
  }
}

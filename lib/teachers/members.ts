import type { LongWork, Query } from '../types.js';
import type { EnsembleChoice, SingleChoice } from './choice.js';
import { combineTeachers, type EnsembleOptions } from './ensemble.js';
import type { ScoreJournal } from './journal.js';
import { writeTeacherScores } from './scores.js';
import { journalScores, type Requests, scoreMissing } from './scoring.js';
import type { Spent, Teacher, TeacherScores } from './teacher.js';

/** What is to be scored. */
export interface ScoringTask {
  queries: ReadonlyMap<string, Query>;
  requests: Requests;
  /** Of a query and a passage, in all requests. */
  pairs: number;
}

export interface MembersOptions extends LongWork, EnsembleOptions {
  open: (choice: SingleChoice) => Promise<Teacher>;
  /** Where a teacher's answers are kept. */
  openJournal: (choice: SingleChoice) => Promise<ScoreJournal>;
}

export interface ScoringCounts {
  queries: number;
  pairs: number;
  /** Pairs that have a score. */
  scored: number;
  /** What servers were asked, over all runs; absent if none was. */
  asked?: ({ teacher: string } & Spent)[];
}

/** One teacher's scores, once it has given them all. */
interface Source {
  name: string;
  kind: SingleChoice['kind'];
  scores: () => AsyncIterable<TeacherScores>;
  journal?: ScoreJournal;
}

/** Has one teacher after the other score a task, and writes their scores, or weighted means of them, to a file. */
export async function writeScores(
  file: string,
  task: ScoringTask,
  { members, ...options }: MembersOptions & Pick<EnsembleChoice, 'members'>,
): Promise<ScoringCounts> {
  const { lowPercentile, highPercentile, signal } = options;
  const sources: Source[] = [];
  try {
    for (const { teacher } of members) sources.push(await scoreAll(teacher, task, options));
    const weighted = sources.map(({ scores }, i) => ({ scores, weight: members[i]!.weight }));
    const [alone] = sources.length === 1 ? sources : [];
    const percentiles = { lowPercentile, highPercentile, signal };
    const scores = alone ? alone.scores() : combineTeachers(task.queries, weighted, percentiles);
    const scored = await writeTeacherScores(file, scores, { signal });
    const asked = sources.flatMap(({ name, kind, journal }) =>
      journal && kind !== 'fused' && kind !== 'cross-encoder' ? [{ teacher: name, ...journal.spent }] : [],
    );
    return { queries: task.queries.size, pairs: task.pairs, scored, ...(asked.length > 0 && { asked }) };
  } finally {
    for (const { journal } of sources) await journal?.close();
  }
}

async function scoreAll(choice: SingleChoice, task: ScoringTask, options: MembersOptions): Promise<Source> {
  const { signal, onProgress } = options;
  const teacher = await options.open(choice);
  const facts = { name: teacher.name, kind: choice.kind };
  if (teacher.isAtHand) return { ...facts, scores: () => teacher.score(task.requests(), { signal }) };
  const journal = await options.openJournal(choice);
  try {
    await scoreMissing(teacher, task.requests, { journal, total: task.pairs, signal, onProgress });
  } catch (error) {
    await journal.close();
    throw error;
  } finally {
    await teacher.dispose?.();
  }
  return { ...facts, journal, scores: () => journalScores(journal, task.requests, { signal }) };
}

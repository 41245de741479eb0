import { join } from 'node:path';
import { passageText } from '../corpus/passage.js';
import { readTrecRun } from '../formats/trec.js';
import { canonicalJson, hashJson, type Json } from '../hashes.js';
import { membersOf, type SingleChoice } from '../teachers/choice.js';
import { combineTeachers } from '../teachers/ensemble.js';
import { FusedTeacher } from '../teachers/fused.js';
import { ScoreJournal } from '../teachers/journal.js';
import { identityOf, openTeacher } from '../teachers/open.js';
import { writeTeacherScores } from '../teachers/scores.js';
import { journalScores, type Requests, scoreMissing } from '../teachers/scoring.js';
import type { Teacher, TeacherScores } from '../teachers/teacher.js';
import type { Query } from '../types.js';
import { Manifest } from './manifest.js';
import type { PartialWork } from './partial-work.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import { bm25Options, type InputSource, type Workbench } from './workbench.js';

/** The teacher's scores of all candidates: scores.jsonl. */
export async function teacherStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { lowPercentile, highPercentile, signal } = options;
  const members = membersOf(options.teacher);
  const inputs: Record<string, string> = {};
  const sources: Record<string, InputSource> = {};
  for (const [i, { teacher }] of members.entries()) {
    if (teacher.kind !== 'file') continue;
    const name = members.length === 1 ? 'scores' : `scores of teacher ${i + 1}`;
    sources[name] = bench.fileSource(teacher.scores, 'teacher scores');
    inputs[name] = await sources[name].hash();
  }
  await checkKeys(bench);
  const described = members.map(({ teacher, weight }) => ({ teacher: decisive(teacher, bench), weight }));
  const isAlone = members.length === 1;
  return {
    name: 'teacher',
    options: isAlone ? described[0]!.teacher : { teachers: described, lowPercentile, highPercentile },
    inputs,
    sources,
    outputs: [FILES.scores],
    work: async (partial) => {
      const task = await prepare(bench);
      const scored: Source[] = [];
      try {
        for (const { teacher } of members) scored.push(await scoreAll(teacher, { bench, partial, task }));
        const combined = scored.map(({ scores }, i) => ({ scores, weight: members[i]!.weight }));
        const percentiles = { lowPercentile, highPercentile, signal };
        const scores = isAlone ? scored[0]!.scores() : combineTeachers(task.queries, combined, percentiles);
        const count = await writeTeacherScores(directory.file('scores'), scores, { signal });
        return countsOf({ task, scored: count, sources: scored });
      } finally {
        for (const { journal } of scored) await journal?.close();
      }
    },
  };
}

/** What is to be scored. */
interface Task {
  queries: Map<string, Query>;
  requests: Requests;
  pairs: number;
}

/** One teacher's scores, once it has given them all. */
interface Source {
  name: string;
  scores: () => AsyncIterable<TeacherScores>;
  journal?: ScoreJournal;
}

async function prepare(bench: Workbench): Promise<Task> {
  const { corpus, directory, options } = bench;
  const fused = await readTrecRun(directory.file('fused'), { signal: options.signal });
  const queries = (await bench.queries()).filter(({ id }) => fused.has(id));
  const requests = function* () {
    for (const query of queries) {
      const passages = fused.get(query.id)!.map(({ id }) => ({ id, text: passageText(corpus.get(id)!) }));
      yield { query, passages };
    }
  };
  const pairs = queries.reduce((sum, { id }) => sum + fused.get(id)!.length, 0);
  return { queries: new Map(queries.map((query) => [query.id, query])), requests, pairs };
}

interface ScoringParts {
  bench: Workbench;
  partial: PartialWork;
  task: Task;
}

async function scoreAll(choice: SingleChoice, { bench, partial, task }: ScoringParts): Promise<Source> {
  const { work } = bench;
  const teacher = await loadTeacher(choice, bench);
  const { name } = teacher;
  if (teacher.isAtHand) return { name, scores: () => teacher.score(task.requests(), work) };
  const journal = await openJournal(choice, { bench, partial });
  try {
    await scoreMissing(teacher, task.requests, { journal, total: task.pairs, ...work });
  } catch (error) {
    await journal.close();
    throw error;
  }
  return { name, journal, scores: () => journalScores(journal, task.requests, work) };
}

/** What was asked of a server, and perhaps paid for, outlives a change of options; what is computed here need not. */
function openJournal(choice: SingleChoice, { bench, partial }: Omit<ScoringParts, 'task'>): Promise<ScoreJournal> {
  const { signal } = bench.options;
  if (choice.kind === 'fused') return ScoreJournal.open(join(partial.directory, 'fused.jsonl'), 'fused', { signal });
  if (choice.kind === 'file') throw new Error('Scores from a file need no journal. This is a bug.');
  const identity = identityOf(choice);
  const file = `${choice.kind}-${hashJson(identity).slice(0, 16)}.jsonl`;
  return ScoreJournal.open(join(bench.directory.path, FILES.answers, file), canonicalJson(identity), { signal });
}

async function loadTeacher(choice: SingleChoice, bench: Workbench): Promise<Teacher> {
  if (choice.kind !== 'fused') return openTeacher(choice, bench.work);
  const { denseWeight, bm25Weight } = bench.options;
  const [bm25, passages, queries] = [await bench.bm25(), await bench.passages(), await bench.queryEmbeddings()];
  return new FusedTeacher({ corpus: bench.corpus, bm25, passages, queries, denseWeight, bm25Weight });
}

/** What decides a teacher's scores; what is in a file is hashed as an input. */
function decisive(choice: SingleChoice, { options }: Workbench): { [name: string]: Json } {
  if (choice.kind === 'file') return { teacher: 'file' };
  if (choice.kind !== 'fused') return { teacher: identityOf(choice) };
  const { denseWeight = 0.7, bm25Weight = 0.3 } = options;
  return { teacher: 'fused', denseWeight, bm25Weight, ...(bm25Options(options) as { [name: string]: Json }) };
}

/** A key that is not there should show now, and not after hours; unless the scores are there already. */
async function checkKeys({ options, directory }: Workbench): Promise<void> {
  if ((await Manifest.open(directory.file('manifest'))).get('teacher')?.complete) return;
  for (const { teacher } of membersOf(options.teacher)) {
    if (teacher.kind !== 'fused' && teacher.kind !== 'file') await openTeacher(teacher);
  }
}

function countsOf({ task, scored, sources }: { task: Task; scored: number; sources: Source[] }): Json {
  const servers = sources.flatMap(({ name, journal }) => (journal ? [{ teacher: name, ...journal.spent }] : []));
  const asked = servers.filter(({ teacher }) => teacher !== 'fused');
  const counts = { queries: task.queries.size, pairs: task.pairs, scored };
  return asked.length > 0 ? { ...counts, asked } : counts;
}

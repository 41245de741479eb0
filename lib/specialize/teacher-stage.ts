import { join } from 'node:path';
import { passageText } from '../corpus/passage.js';
import { readTrecRun } from '../formats/trec.js';
import { hashJson, type Json } from '../hashes.js';
import { membersOf, type SingleChoice } from '../teachers/choice.js';
import { FusedTeacher } from '../teachers/fused.js';
import { ScoreJournal } from '../teachers/journal.js';
import { type ScoringTask, writeScores } from '../teachers/members.js';
import { identityOf, openAnswers, openTeacher } from '../teachers/open.js';
import type { Teacher } from '../teachers/teacher.js';
import { Manifest } from './manifest.js';
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
  const described: { teacher: { [name: string]: Json }; weight: number }[] = [];
  for (const { teacher, weight } of members) described.push({ teacher: await decisive(teacher, bench), weight });
  const isAlone = members.length === 1;
  const decided = isAlone ? described[0]!.teacher : { teachers: described, lowPercentile, highPercentile };
  await checkKeys(bench, decided);
  return {
    name: 'teacher',
    options: decided,
    inputs,
    sources,
    outputs: [FILES.scores],
    work: async (partial) => {
      const answers = join(directory.path, FILES.answers);
      const counts = await writeScores(directory.file('scores'), await prepare(bench), {
        ...{ members, lowPercentile, highPercentile, ...bench.work },
        open: (choice) => loadTeacher(choice, bench),
        // What was asked of a server or computed by a large model outlives a change of options; what is quickly computed need not.
        openJournal: (choice) =>
          choice.kind === 'fused'
            ? ScoreJournal.open(join(partial.directory, 'fused.jsonl'), 'fused', { signal })
            : openAnswers(answers, choice, { signal }),
      });
      return counts as unknown as Json;
    },
  };
}

async function prepare(bench: Workbench): Promise<ScoringTask> {
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

async function loadTeacher(choice: SingleChoice, bench: Workbench): Promise<Teacher> {
  if (choice.kind !== 'fused') return openTeacher(choice, bench.work);
  const { denseWeight, bm25Weight } = bench.options;
  const [bm25, passages, queries] = [await bench.bm25(), await bench.passages(), await bench.queryEmbeddings()];
  return new FusedTeacher({ corpus: bench.corpus, bm25, passages, queries, denseWeight, bm25Weight });
}

/** What decides a teacher's scores; what is in a file is hashed as an input. */
async function decisive(choice: SingleChoice, { options }: Workbench): Promise<{ [name: string]: Json }> {
  if (choice.kind === 'file') return { teacher: 'file' };
  if (choice.kind !== 'fused') return { teacher: await identityOf(choice, options) };
  const { denseWeight = 0.7, bm25Weight = 0.3 } = options;
  return { teacher: 'fused', denseWeight, bm25Weight, ...(bm25Options(options) as { [name: string]: Json }) };
}

/** A key that is not there should show now, and not after hours; unless this teacher's scores are there already. */
async function checkKeys({ options, directory }: Workbench, decided: Stage['options']): Promise<void> {
  const earlier = (await Manifest.open(directory.file('manifest'))).get('teacher');
  if (earlier?.complete && hashJson(earlier.options) === hashJson(decided)) return;
  for (const { teacher } of membersOf(options.teacher)) {
    if (teacher.kind !== 'fused' && teacher.kind !== 'file') await openTeacher(teacher);
  }
}

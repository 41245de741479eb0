import type { DroppedQuery } from '../candidates/selection.js';
import { writeLines } from '../formats/atomic.js';
import { writeJsonl } from '../formats/jsonl.js';
import type { Json } from '../hashes.js';
import { type BuiltLists, buildLists, settleListOptions } from '../lists/build.js';
import { examineTeacher } from '../lists/doctor.js';
import type { StudentScores } from '../lists/entropies.js';
import { writeLists } from '../lists/file.js';
import type { TeacherReport } from '../lists/teacher-report.js';
import { innerProduct } from '../teachers/moments.js';
import { readTeacherScores } from '../teachers/scores.js';
import { TRAINING_DEFAULTS } from '../training/options.js';
import type { Query } from '../types.js';
import { noLists, readDropped } from './dropped.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import type { Workbench } from './workbench.js';

/**
 * Training lists from the teacher's scores, every query that got none with the reason (dropped.jsonl), and what is to
 * be known of the teacher before training (teacher-doctor.json).
 */
export async function listsStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { listLength, lowPercentile, keepPercentile, highPercentile, devShare, seed, signal } = options;
  const { nearDuplicateThreshold, teacherTemperature, studentTemperature, temperatureLists } = options;
  const choices = { listLength, lowPercentile, keepPercentile, highPercentile, nearDuplicateThreshold, devShare, seed };
  const textOf = (id: string) => bench.corpus.get(id)!.text;
  return {
    name: 'lists',
    options: { ...choices, teacherTemperature, studentTemperature, temperatureLists },
    inputs: {},
    outputs: [FILES.train, FILES.dev, FILES.dropped, FILES.teacherDoctor],
    work: async () => {
      const queries = await bench.queries();
      const scores = readTeacherScores(directory.file('scores'), { signal });
      const built = await buildLists(queries, scores, { ...choices, textOf, signal });
      const earlier = [directory.file('queriesDropped'), directory.file('candidatesDropped')];
      const dropped = [...(await Promise.all(earlier.map(readDropped))).flat(), ...built.dropped];
      await writeJsonl(directory.file('dropped'), dropped, { signal });
      await writeLists(directory.file('train'), built.train, { signal });
      await writeLists(directory.file('dev'), built.dev, { signal });
      const teacher = await examine(bench, { queries, built, dropped });
      await writeLines(directory.file('teacherDoctor'), [JSON.stringify(teacher, null, 2)]);
      if (built.train.length === 0) throw noLists(directory.file('dropped'), dropped, teacher);
      const byType = Object.fromEntries(Object.entries(built.counts).map(([type, count]) => [type, { ...count }]));
      const counts = { train: built.train.length, dev: built.dev.length, dropped: built.dropped.length };
      return { ...counts, byType, teacher } as unknown as Json;
    },
  };
}

interface Examined {
  queries: readonly Query[];
  built: BuiltLists;
  dropped: readonly DroppedQuery[];
}

async function examine(bench: Workbench, { queries, built, dropped }: Examined): Promise<TeacherReport> {
  const { options, directory } = bench;
  const { seed, signal } = options;
  const {
    teacherTemperature = TRAINING_DEFAULTS.teacherTemperature,
    studentTemperature = TRAINING_DEFAULTS.studentTemperature,
    temperatureLists = TRAINING_DEFAULTS.temperatureLists,
  } = options;
  const scores = readTeacherScores(directory.file('scores'), { signal });
  const student = await studentScores(bench);
  const { listLength } = settleListOptions(options);
  return examineTeacher(
    { queries, dropped, scores, train: built.train, dev: built.dev, student },
    { listLength, teacherTemperature, studentTemperature, temperatureLists, seed, signal },
  );
}

/** Cosines by the embeddings that candidates were found by: the model as it is before training. */
export async function studentScores(bench: Workbench): Promise<StudentScores> {
  const [passages, queries] = [await bench.passages(), await bench.queryEmbeddings()];
  const cosine = (a: Float32Array, b: Float32Array) =>
    innerProduct(a, b) / Math.sqrt(innerProduct(a, a) * innerProduct(b, b));
  return ({ id, passages: listed }) => {
    const query = queries.get(id);
    return listed.map((passage) => cosine(query, passages.row(bench.corpus.row(passage.id)!)));
  };
}

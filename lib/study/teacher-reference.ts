import { join } from 'node:path';
import { embedQueries } from '../candidates/embeddings.js';
import { passageText } from '../corpus/passage.js';
import { readTrecRun } from '../formats/trec.js';
import { rowsInCorpus } from '../specialize/evaluation-stage.js';
import type { Stage } from '../specialize/stage-runner.js';
import { bm25Options } from '../specialize/workbench.js';
import { FusedTeacher } from '../teachers/fused.js';
import type { TeacherRequest } from '../teachers/teacher.js';
import type { Run } from '../types.js';
import { referenceFiles } from './files.js';
import { keepRun, type TestParts, testedBy } from './test-stages.js';

/**
 * How the teacher itself ranks the passages of the test set, if that is at hand: the fused teacher, over a test set
 * whose passages are the corpus'. Other teachers would have to score pairs that no training needs.
 * @returns undefined where it is not
 */
export async function teacherTest(parts: TestParts): Promise<Stage<string> | undefined> {
  const { bench, test } = parts;
  const { teacher, depth, denseWeight, bm25Weight } = bench.options;
  if (teacher.kind !== 'fused' || !(await rowsInCorpus(test.collection, bench))) return undefined;
  const tested = testedBy(parts);
  const files = referenceFiles('teacher');
  return {
    name: 'test.teacher',
    needs: ['test.base'],
    ...tested,
    options: { ...tested.options, depth, denseWeight, bm25Weight, ...bm25Options(bench.options) },
    outputs: [files.run, files.measures],
    work: async () => keepRun(await teacherRun(parts), files, parts),
  };
}

/** The best `depth` of the base and of BM25, which the teacher is made of, in the order of its scores. */
async function teacherRun({ bench, test }: TestParts): Promise<Run> {
  const { corpus, directory, options, work } = bench;
  const { depth, denseWeight, bm25Weight, signal } = options;
  const { queries } = test.collection;
  const dense = await readTrecRun(join(directory.path, referenceFiles('base').run), { signal });
  const bm25 = await bench.bm25();
  const lexical = await bm25.search(queries, depth, work);
  const embedded = await embedQueries(await bench.embedder(), queries, work);
  await bench.releaseEmbedder();
  const passages = await bench.passages();
  const teacher = new FusedTeacher({ corpus, bm25, passages, queries: embedded, denseWeight, bm25Weight });
  const requests = function* (): Generator<TeacherRequest> {
    for (const query of queries) {
      const found = [...(dense.get(query.id) ?? []).slice(0, depth), ...(lexical.get(query.id) ?? [])];
      const ids = new Set(found.map(({ id }) => id).filter((id) => id !== query.id));
      yield { query, passages: Array.from(ids, (id) => ({ id, text: passageText(corpus.get(id)!) })) };
    }
  };
  const run: Run = new Map();
  for await (const { query, passages: scored } of teacher.score(requests(), work)) {
    run.set(
      query,
      scored.toSorted((a, b) => b.score - a.score),
    );
  }
  return run;
}

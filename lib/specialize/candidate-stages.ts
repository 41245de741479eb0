import { denseCandidates } from '../candidates/dense.js';
import { type Embeddings, embedQueries } from '../candidates/embeddings.js';
import { writeNpy } from '../candidates/npy.js';
import { selectCandidates } from '../candidates/selection.js';
import { writeJsonl } from '../formats/jsonl.js';
import { readTrecRun, writeTrecRun } from '../formats/trec.js';
import { hashInputFile } from '../hashes.js';
import type { WrittenQuery } from '../queries/written.js';
import { FileTeacher } from '../teachers/file.js';
import { FusedTeacher } from '../teachers/fused.js';
import { writeTeacherScores } from '../teachers/scores.js';
import type { Teacher, TeacherRequest, TeacherScores } from '../teachers/teacher.js';
import type { LongWork, Run } from '../types.js';
import { nothingToTrainOn, readDropped } from './dropped.js';
import type { Retriever } from './options.js';
import { FILES, retrieverFile } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import { bm25Options, type Workbench } from './workbench.js';

/** What each retriever finds for each query, filtered and fused: TREC runs, candidates/fused.trec the last. */
export async function candidatesStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { retrievers, depth, maxSourceRank, minCandidates, rrfK, signal } = options;
  return {
    name: 'candidates',
    options: {
      ...{ retrievers, depth, maxSourceRank, minCandidates, rrfK },
      ...(retrievers.includes('bm25') && { ...bm25Options(options) }),
    },
    inputs: {},
    outputs: [...retrievers.map(retrieverFile), FILES.fused, FILES.candidatesDropped, FILES.queryEmbeddings],
    work: async () => {
      const queries = await bench.queries();
      const embedded = await embedAndKeep(queries, bench);
      const runs = new Map<Retriever, Run>();
      for (const retriever of retrievers) {
        const run = await retrieve(retriever, { queries, embedded, bench });
        await writeTrecRun(directory.candidates(retriever), run, { tag: retriever, signal });
        runs.set(retriever, run);
      }
      const unusable = new Set((await bench.unusable()).keys());
      const limits = { maxSourceRank, minCandidates, rrfK, signal };
      const { fused, dropped, counts } = await selectCandidates({ queries, runs, unusable }, limits);
      await writeTrecRun(directory.file('fused'), fused, { tag: 'fused', signal });
      await writeJsonl(directory.file('candidatesDropped'), dropped, { signal });
      if (fused.size === 0) {
        const file = directory.file('candidatesDropped');
        throw nothingToTrainOn(file, [...(await readDropped(directory.file('queriesDropped'))), ...dropped]);
      }
      const byType = Object.fromEntries(Object.entries(counts).map(([type, count]) => [type, { ...count }]));
      return { queries: queries.length, dropped: dropped.length, kept: fused.size, byType };
    },
  };
}

/** The fused teacher needs the queries' embeddings again, perhaps in a later process. */
async function embedAndKeep(queries: readonly WrittenQuery[], bench: Workbench): Promise<Embeddings> {
  const embedded = await embedQueries(await bench.embedder(), queries, bench.work);
  const size = { rows: embedded.ids.length, columns: embedded.dimension };
  const file = bench.directory.file('queryEmbeddings');
  await writeNpy(file, { ...size, values: embedded.matrix }, { signal: bench.options.signal });
  return embedded;
}

interface RetrievalParts {
  queries: readonly WrittenQuery[];
  embedded: Embeddings;
  bench: Workbench;
}

async function retrieve(retriever: Retriever, { queries, embedded, bench }: RetrievalParts): Promise<Run> {
  const { depth } = bench.options;
  if (retriever === 'dense') return denseCandidates(embedded, await bench.passages(), { depth, ...bench.work });
  return (await bench.bm25()).search(queries, depth, bench.work);
}

/** The teacher's scores of all candidates: scores.jsonl. */
export async function teacherStage(bench: Workbench): Promise<Stage> {
  const { options, directory, work } = bench;
  const { teacher, denseWeight, bm25Weight, signal } = options;
  const isFused = teacher === 'fused';
  return {
    name: 'teacher',
    options: isFused ? { teacher: 'fused', denseWeight, bm25Weight, ...bm25Options(options) } : { teacher: 'file' },
    inputs: isFused ? {} : { scores: await hashInputFile(teacher.scores, 'teacher scores', signal) },
    outputs: [FILES.scores],
    work: async () => {
      const fused = await readTrecRun(directory.file('fused'), { signal });
      const requests: TeacherRequest[] = (await bench.queries())
        .filter(({ id }) => fused.has(id))
        .map((query) => ({ query, candidates: fused.get(query.id)!.map(({ id }) => id) }));
      const pairs = requests.reduce((sum, { candidates }) => sum + candidates.length, 0);
      const scores = report(await loadTeacher(bench), { requests, work });
      const scored = await writeTeacherScores(directory.file('scores'), scores, { signal });
      return { queries: requests.length, pairs, scored };
    },
  };
}

async function loadTeacher(bench: Workbench): Promise<Teacher> {
  const { teacher, denseWeight, bm25Weight, signal } = bench.options;
  if (teacher !== 'fused') return FileTeacher.load(teacher.scores, { signal });
  const [bm25, passages, queries] = [await bench.bm25(), await bench.passages(), await bench.queryEmbeddings()];
  return new FusedTeacher({ corpus: bench.corpus, bm25, passages, queries, denseWeight, bm25Weight });
}

async function* report(
  teacher: Teacher,
  { requests, work }: { requests: readonly TeacherRequest[]; work: LongWork },
): AsyncGenerator<TeacherScores> {
  let done = 0;
  for await (const scores of teacher.score(requests, work)) {
    yield scores;
    done += 1;
    work.onProgress?.({ stage: 'teacher', done, total: requests.length, unit: 'queries' });
  }
}

import { denseCandidates } from '../candidates/dense.js';
import { type Embeddings, embedQueries } from '../candidates/embeddings.js';
import { writeNpy } from '../candidates/npy.js';
import { selectCandidates } from '../candidates/selection.js';
import { writeJsonl } from '../formats/jsonl.js';
import { writeTrecRun } from '../formats/trec.js';
import type { Query, Run } from '../types.js';
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
async function embedAndKeep(queries: readonly Query[], bench: Workbench): Promise<Embeddings> {
  const embedded = await embedQueries(await bench.embedder(), queries, bench.work);
  const size = { rows: embedded.ids.length, columns: embedded.dimension };
  const file = bench.directory.file('queryEmbeddings');
  await writeNpy(file, { ...size, values: embedded.matrix }, { signal: bench.options.signal });
  return embedded;
}

interface RetrievalParts {
  queries: readonly Query[];
  embedded: Embeddings;
  bench: Workbench;
}

async function retrieve(retriever: Retriever, { queries, embedded, bench }: RetrievalParts): Promise<Run> {
  const { depth } = bench.options;
  if (retriever === 'dense') return denseCandidates(embedded, await bench.passages(), { depth, ...bench.work });
  return (await bench.bm25()).search(queries, depth, bench.work);
}

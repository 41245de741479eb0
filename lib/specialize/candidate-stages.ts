import { denseCandidates } from '../candidates/dense.js';
import { type Embeddings, embedQueries } from '../candidates/embeddings.js';
import { KeptEncoder } from '../candidates/kept-encoder.js';
import { writeNpy } from '../candidates/npy.js';
import { selectCandidates } from '../candidates/selection.js';
import { writeJsonl } from '../formats/jsonl.js';
import { writeTrecRun } from '../formats/trec.js';
import type { LongWork, Query, Run } from '../types.js';
import { nothingToTrainOn, readDropped } from './dropped.js';
import { keptRun } from './kept-run.js';
import type { Retriever } from './options.js';
import type { PartialWork } from './partial-work.js';
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
    work: async (partial) => {
      const queries = await bench.queries();
      const embedded = await embedAndKeep(queries, bench, partial);
      const runs = new Map<Retriever, Run>();
      for (const retriever of retrievers) {
        const run = await retrieve(retriever, { queries, embedded, bench, partial });
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
async function embedAndKeep(queries: readonly Query[], bench: Workbench, partial: PartialWork): Promise<Embeddings> {
  const encoder = new KeptEncoder(await bench.embedder(), partial.directory);
  const embedded = await embedQueries(encoder, queries, bench.work);
  const size = { rows: embedded.ids.length, columns: embedded.dimension };
  const file = bench.directory.file('queryEmbeddings');
  await writeNpy(file, { ...size, values: embedded.matrix }, { signal: bench.options.signal });
  return embedded;
}

interface RetrievalParts {
  queries: readonly Query[];
  embedded: Embeddings;
  bench: Workbench;
  partial: PartialWork;
}

async function retrieve(name: Retriever, { queries, embedded, bench, partial }: RetrievalParts): Promise<Run> {
  const { depth } = bench.options;
  const kept = { name, partial, ...bench.work };
  if (name === 'bm25') {
    const search = async (block: readonly Query[], _: number, work: LongWork) =>
      (await bench.bm25()).search(block, depth, work);
    return keptRun(queries, { ...kept, search });
  }
  const passages = await bench.passages();
  const search = (block: readonly Query[], start: number, work: LongWork) =>
    denseCandidates(embedded.slice(start, start + block.length), passages, { depth, ...work });
  return keptRun(queries, { ...kept, search });
}

import type { Embeddings } from '../candidates/embeddings.js';
import { embedQueries } from '../candidates/embeddings.js';
import { KeptEncoder } from '../candidates/kept-encoder.js';
import { LanceRetriever } from '../candidates/lancedb.js';
import { writeNpy } from '../candidates/npy.js';
import { parseRetrievers } from '../candidates/retrievers.js';
import { selectCandidates } from '../candidates/selection.js';
import { checkSameSpace, hasRecord, spaceOf } from '../embeddings/file.js';
import { writeJsonl } from '../formats/jsonl.js';
import { writeTrecRun } from '../formats/trec.js';
import { resolveModel } from '../models/hub.js';
import type { Query, Run } from '../types.js';
import { nothingToTrainOn, readDropped } from './dropped.js';
import type { PartialWork } from './partial-work.js';
import { type OpenRetriever, retrieve } from './retrieval.js';
import { FILES, retrieverFile } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import { bm25Options, type InputSource, type Workbench } from './workbench.js';

/** What each retriever finds for each query, filtered and fused: TREC runs, candidates/fused.trec the last. */
export async function candidatesStage(bench: Workbench): Promise<Stage> {
  const { options } = bench;
  const { depth, maxSourceRank, minCandidates, rrfK } = options;
  const retrievers = await openRetrievers(bench);
  const kinds = retrievers.map(({ name }) => name);
  return {
    name: 'candidates',
    options: {
      ...{ retrievers: kinds, depth, maxSourceRank, minCandidates, rrfK },
      ...(kinds.includes('bm25') && { ...bm25Options(options) }),
    },
    inputs: await hashed(retrievers),
    sources: Object.fromEntries(retrievers.flatMap(({ name, source }) => (source ? [[name, source]] : []))),
    outputs: [...kinds.map(retrieverFile), FILES.fused, FILES.candidatesDropped, FILES.queryEmbeddings],
    work: (partial) => findCandidates({ bench, retrievers, partial }),
  };
}

/** Retrievers with what they read: a further model is resolved now, so that one that is not there shows at once. */
async function openRetrievers(bench: Workbench): Promise<OpenRetriever[]> {
  const { retrievers, signal, onProgress } = bench.options;
  const opened: OpenRetriever[] = [];
  for (const choice of parseRetrievers(retrievers)) {
    let source: InputSource | undefined;
    if (choice.kind === 'run') source = bench.fileSource(choice.place, 'a run in TREC layout');
    if (choice.kind === 'model') {
      const resolving = { argument: 'retrievers', signal, onProgress };
      source = bench.modelSource(await resolveModel(choice.place, resolving));
    }
    if (choice.kind.startsWith('lancedb')) source = await tableSource(choice.place);
    opened.push(source ? { ...choice, source } : choice);
  }
  return opened;
}

async function tableSource(path: string): Promise<InputSource> {
  const hash = async () => {
    using table = await LanceRetriever.open(path);
    return await table.version();
  };
  await hash();
  return { path, hash };
}

async function hashed(retrievers: readonly OpenRetriever[]): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const { name, source } of retrievers) if (source) hashes[name] = await source.hash();
  return hashes;
}

interface Finding {
  bench: Workbench;
  retrievers: readonly OpenRetriever[];
  partial: PartialWork;
}

async function findCandidates({ bench, retrievers, partial }: Finding) {
  const { options, directory } = bench;
  const { maxSourceRank, minCandidates, rrfK, signal } = options;
  const queries = await bench.queries();
  await checkTables(retrievers, bench);
  const embedded = await embedAndKeep(queries, bench, partial);
  const runs = new Map<string, Run>();
  for (const retriever of retrievers) {
    const run = await retrieve(retriever, { queries, embedded, bench, partial });
    await writeTrecRun(directory.candidates(retriever.name), run, { tag: retriever.name, signal });
    runs.set(retriever.name, run);
  }
  const unusable = await bench.unusable();
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
}

/**
 * That vectors of tables are of the base model, where a record beside them says of which they are: before the work of
 * hours that others do.
 * @throws DataError naming what differs
 */
async function checkTables(retrievers: readonly OpenRetriever[], bench: Workbench): Promise<void> {
  const files = retrievers.filter(({ kind }) => kind === 'lancedb').map(({ place }) => LanceRetriever.fileOf(place));
  const recorded = files.filter(hasRecord);
  if (recorded.length === 0) return;
  const space = await spaceOf(await bench.embedder(), bench.options.model, bench.options.signal);
  for (const file of recorded) {
    await checkSameSpace(file, space, 'write the table anew with this model (`encode`), or leave this retriever out');
  }
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

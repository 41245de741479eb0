import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { denseCandidates } from '../candidates/dense.js';
import { type Embeddings, embedQueries } from '../candidates/embeddings.js';
import { EmbeddingsFile, encodeCorpus } from '../candidates/embeddings-file.js';
import { LanceRetriever } from '../candidates/lancedb.js';
import { type RetrieverChoice, RunRetriever } from '../candidates/retrievers.js';
import { Embedder } from '../embedder.js';
import { writeLines } from '../formats/atomic.js';
import { hashJson } from '../hashes.js';
import type { LongWork, Query, Run } from '../types.js';
import { keptRun } from './kept-run.js';
import type { PartialWork } from './partial-work.js';
import type { InputSource, Workbench } from './workbench.js';

/** A retriever, with the files that it reads beside the corpus. */
export interface OpenRetriever extends RetrieverChoice {
  source?: InputSource;
}

export interface RetrievalParts {
  queries: readonly Query[];
  /** By the base model. */
  embedded: Embeddings;
  bench: Workbench;
  partial: PartialWork;
}

/** What a retriever finds in the run's corpus. What it found for a block of queries is kept as soon as it did. */
export async function retrieve(retriever: OpenRetriever, parts: RetrievalParts): Promise<Run> {
  const { queries, bench, partial } = parts;
  const { depth } = bench.options;
  if (retriever.kind === 'dense') return searchFile('dense', bench.directory.file('passageEmbeddings'), parts);
  if (retriever.kind === 'model') return searchByModel(retriever, parts);
  const kept = { name: retriever.name, partial, ...bench.work };
  if (retriever.kind === 'bm25') {
    const search = async (block: readonly Query[], _: number, work: LongWork) =>
      (await bench.bm25()).search(block, depth, work);
    return keptRun(queries, { ...kept, search });
  }
  const { corpus } = bench;
  if (retriever.kind === 'run')
    return new RunRetriever(retriever.place).search(queries, depth, { corpus, ...bench.work });
  using table = await LanceRetriever.open(retriever.place);
  const asked = retriever.kind === 'lancedb' ? { corpus, embedded: parts.embedded } : { corpus };
  const search = (block: readonly Query[], _: number, work: LongWork) =>
    table.search(block, depth, { ...asked, ...work });
  return await keptRun(queries, { ...kept, search });
}

async function searchFile(
  name: string,
  file: string,
  { queries, embedded, bench, partial }: RetrievalParts,
): Promise<Run> {
  const { corpus, options } = bench;
  await using passages = await EmbeddingsFile.open(file);
  const search = (block: readonly Query[], start: number, work: LongWork) =>
    denseCandidates(embedded.slice(start, start + block.length), passages, corpus, { depth: options.depth, ...work });
  return await keptRun(queries, { name, partial, search, ...bench.work });
}

/** By a further embedder, with its own settings. The corpus is encoded once and kept in embeddings/<name>.npy. */
async function searchByModel({ name, source }: OpenRetriever, parts: RetrievalParts): Promise<Run> {
  const { queries, bench } = parts;
  const { options, directory, corpus, work } = bench;
  const { device, precision, embeddingsType: type } = options;
  const { path, hash } = source!;
  const file = join(directory.path, 'embeddings', `${name}.npy`);
  const model = await hash();
  const key = hashJson({ corpus: await bench.corpusHash(), model, precision, type });
  await using embedder = await Embedder.load(path, { device, precision, ...work });
  if (!(await isKept(file, key))) {
    // An index that outlived its matrix would vouch for another one.
    await rm(indexOf(file), { force: true });
    await encodeCorpus(file, { embedder, corpus, type, key, ...work });
    const index = { rows: corpus.size, columns: embedder.dimension, type, model, key };
    await writeLines(indexOf(file), [JSON.stringify(index, null, 2)]);
  }
  const embedded = await embedQueries(embedder, queries, work);
  return await searchFile(name, file, { ...parts, embedded });
}

function indexOf(file: string): string {
  return file.replace(/\.npy$/, '.json');
}

async function isKept(file: string, key: string): Promise<boolean> {
  const index = await readFile(indexOf(file), 'utf8')
    .then((text) => JSON.parse(text) as { key?: string })
    .catch(() => undefined);
  return index?.key === key && existsSync(file);
}

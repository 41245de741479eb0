import { resolve } from 'node:path';
import type { DroppedQuery } from '../candidates/selection.js';
import { sampleIds } from '../corpus/sample.js';
import { readQrels, readQueries } from '../formats/beir.js';
import { writeJsonl } from '../formats/jsonl.js';
import { hashTexts } from '../hashes.js';
import { HUMAN, readHumanQueries, readTestQueries } from '../queries/human.js';
import { writeRunQueries } from '../queries/kept.js';
import { duplicateKey } from '../queries/reply-check.js';
import { readWrittenQueries } from '../queries/written.js';
import type { Query } from '../types.js';
import { nothingToTrainOn } from './dropped.js';
import { openLlmQueries } from './llm-queries.js';
import type { SettledOptions } from './options.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import type { InputSource, Workbench } from './workbench.js';

/** The queries that may be used, written ones and people's: queries.jsonl. */
export async function queriesStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { humanQueries, humanSplit, maxPassages, seed, signal } = options;
  const sources = sourcesOf(bench);
  const llm = await openLlmQueries(bench);
  const inputs: Record<string, string> = {};
  for (const [name, source] of Object.entries(sources)) inputs[name] = await source.hash();
  if (llm) inputs.prompts = llm.prompts;
  return {
    name: 'queries',
    options: { maxPassages, seed, ...(humanQueries !== undefined && { humanSplit }), ...llm?.options },
    inputs,
    sources,
    outputs: [FILES.queries, FILES.queriesDropped],
    ...(llm && { again: llm.again, estimate: llm.estimate }),
    work: async () => {
      const written = await llm?.write();
      const writtenOnes = await keepWritten(bench, written?.file);
      const humanOnes = await keepHuman(bench);
      const kept = [...writtenOnes.kept, ...humanOnes.kept];
      const dropped = [...writtenOnes.dropped, ...humanOnes.dropped];
      await writeRunQueries(directory.file('queries'), kept, { signal });
      await writeJsonl(directory.file('queriesDropped'), dropped, { signal });
      if (kept.length === 0) throw nothingToTrainOn(directory.file('queriesDropped'), dropped);
      const passages = new Set(writtenOnes.kept.map(({ source }) => source)).size;
      const counts = { read: kept.length + dropped.length, dropped: dropped.length, kept: kept.length, passages };
      return {
        ...counts,
        ...(humanQueries !== undefined && { human: humanOnes.kept.length }),
        ...(written && { written: written.counts }),
      };
    },
  };
}

interface Kept {
  kept: Query[];
  dropped: DroppedQuery[];
}

function sourcesOf(bench: Workbench): Record<string, InputSource> {
  const { queries, humanQueries, data } = bench.options;
  const sources: Record<string, InputSource> = {};
  if (queries !== undefined) sources.queries = bench.fileSource(queries, 'a JSON Lines file of written queries');
  if (humanQueries !== undefined) {
    sources['human queries'] = { path: humanQueries, hash: () => hashHumanQueries(bench.options) };
    if (data !== undefined) sources['test queries'] = { path: data, hash: () => hashTestQueries(bench.options) };
  }
  return sources;
}

async function hashHumanQueries({ humanQueries, humanSplit, signal }: SettledOptions): Promise<string> {
  const queries = await readQueries(humanQueries!, { signal });
  const qrels = await readQrels(humanQueries!, humanSplit, { signal });
  const judged = [...qrels].map(([query, grades]) => JSON.stringify([query, ...grades]));
  return hashTexts([...queries.map(({ id, text }) => JSON.stringify([id, text])), ...judged], signal);
}

async function hashTestQueries({ data, split, signal }: SettledOptions): Promise<string> {
  const { ids, texts } = await readTestQueries(data!, split, { signal });
  return hashTexts([...ids, '', ...texts], signal);
}

async function keepHuman(bench: Workbench): Promise<Kept> {
  const { humanQueries, humanSplit, signal } = bench.options;
  if (humanQueries === undefined) return { kept: [], dropped: [] };
  const isTested = await testedBy(bench.options);
  const unusable = await bench.unusable();
  const read = await readHumanQueries(humanQueries, humanSplit, { corpus: bench.corpus, unusable, isTested, signal });
  const dropped = read.unusable.map(
    ({ id, ...why }): DroppedQuery => ({ query: id, type: HUMAN, stage: 'queries', ...why }),
  );
  return { kept: read.queries, dropped };
}

/** Whether the test set has a query: by its id where it lies in the same directory, and wherever it lies by its words. */
async function testedBy({ data, split, humanQueries, signal }: SettledOptions) {
  if (data === undefined) return undefined;
  const { ids, texts } = await readTestQueries(data, split, { signal });
  const isSame = resolve(data) === resolve(humanQueries!);
  return ({ id, text }: Pick<Query, 'id' | 'text'>) => (isSame && ids.has(id)) || texts.has(duplicateKey(text));
}

/** @param byLlm the file that a language model filled */
async function keepWritten(bench: Workbench, byLlm?: string): Promise<Kept> {
  const { corpus, work } = bench;
  const { queries: file, maxPassages, seed, signal } = bench.options;
  const files = [file, byLlm].filter((one) => one !== undefined);
  if (files.length === 0) return { kept: [], dropped: [] };
  const { queries, failed } = await readWrittenQueries(files, { corpus, ...work });
  const unusable = await bench.unusable();
  const sources = queries.map(({ source }) => source).filter((source) => !unusable.has(source));
  const sample = new Set(await sampleIds(sources, maxPassages, seed, signal));
  const dropped: DroppedQuery[] = [];
  const kept = queries.filter(({ id, type, source }) => {
    if (sample.has(source)) return true;
    const unfit = unusable.get(source);
    const reason = `source ${source} ${unfit ?? `is not in the sample of ${maxPassages} passages`}`;
    dropped.push({ query: id, type, stage: 'queries', filter: unfit ? 'unusable source' : 'not sampled', reason });
    return false;
  });
  for (const { line, type, source } of failed) {
    const reason = `empty query of passage ${source}`;
    dropped.push({ query: `line ${line}`, type, stage: 'queries', filter: 'empty query', reason });
  }
  return { kept, dropped };
}

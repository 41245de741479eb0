import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JudgedCollection } from '../evaluation/collection.js';
import { evaluateRun, type RunEvaluation } from '../evaluation/measures.js';
import { writeTrecRun } from '../formats/trec.js';
import type { Json } from '../hashes.js';
import { encodingOptions } from '../specialize/corpus-stages.js';
import { baseRun, runOfModel, writeJson } from '../specialize/evaluation-stage.js';
import type { Stage } from '../specialize/stage-runner.js';
import type { InputSource } from '../specialize/workbench.js';
import type { Run } from '../types.js';
import { referenceFiles, variantFile } from './files.js';
import { type StudyParts, type Trial, trainingName } from './training-stage.js';

/** The test set, whose passages are read as they are needed. */
export interface TestSet {
  collection: JudgedCollection;
  source: InputSource;
  /** SHA-256 of its passages, queries and judgements. */
  hash: string;
}

export interface TestParts extends StudyParts {
  test: TestSet;
}

/** The stage's name in events and the manifest. */
export function testName({ variant, seed }: Trial): string {
  return `test.${variant.name}.${seed}`;
}

/** What the base model finds on the test set, from the embeddings that are there if its passages are the corpus'. */
export function baseTest(parts: TestParts): Stage<string> {
  const { bench, test } = parts;
  const files = referenceFiles('base');
  return {
    name: 'test.base',
    needs: ['embeddings'],
    ...testedBy(parts),
    outputs: [files.run, files.measures],
    work: async (partial) => {
      const run = await baseRun(bench, test.collection, partial.directory);
      return keepRun(run, files, parts);
    },
  };
}

/** What a trained variant finds on the test set. */
export function trialTest(parts: TestParts, trial: Trial): Stage<string> {
  const { bench, test } = parts;
  const file = (name: 'run' | 'measures') => variantFile(trial.variant.name, trial.seed, name);
  const files = { run: file('run'), measures: file('measures') };
  const model = join(bench.directory.path, variantFile(trial.variant.name, trial.seed, 'model'));
  return {
    name: testName(trial),
    needs: [trainingName(trial)],
    ...testedBy(parts),
    outputs: [files.run, files.measures],
    work: async (partial) => {
      const run = await runOfModel(model, { collection: test.collection, bench, kept: partial.directory });
      return keepRun(run, files, parts);
    },
  };
}

/** What decides a result on the test set beside the system. */
export function testedBy({ bench, study, test }: TestParts): Pick<Stage<string>, 'options' | 'inputs' | 'sources'> {
  const { split, k } = bench.options;
  const { measures } = study;
  return {
    options: { split, measures, k, ...encodingOptions(bench.options) },
    inputs: { 'test set': test.hash },
    sources: { 'test set': test.source },
  };
}

/** Writes a run, and the measures of each query. @returns the means */
export async function keepRun(
  run: Run,
  files: { run: string; measures: string },
  { bench, study, test }: TestParts,
): Promise<Json> {
  const { path } = bench.directory;
  const { signal } = bench.options;
  await writeTrecRun(join(path, files.run), run, { signal });
  const { mean, perQuery } = await evaluateRun(test.collection.qrels, run, study.measures, { signal });
  const byMeasure = Object.entries(perQuery).map(([measure, values]) => [measure, Object.fromEntries(values)]);
  await writeJson(join(path, files.measures), { measures: mean, perQuery: Object.fromEntries(byMeasure) });
  return mean;
}

/**
 * Reads the measures that `keepRun` wrote, queries in the order of the judgements: JSON puts ids that are numbers first,
 * and resampling goes by the order.
 */
export async function readMeasures(path: string, file: string, { collection }: TestSet): Promise<RunEvaluation> {
  const { measures, perQuery } = JSON.parse(await readFile(join(path, file), 'utf8')) as {
    measures: Record<string, number>;
    perQuery: Record<string, Record<string, number>>;
  };
  const queries = [...collection.qrels.keys()];
  const byMeasure = Object.entries(perQuery).map(([name, values]) => [
    name,
    new Map(queries.map((query) => [query, values[query]!])),
  ]);
  return { mean: measures, perQuery: Object.fromEntries(byMeasure) };
}

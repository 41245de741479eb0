import { breather } from '../event-loop.js';
import { Estimator } from '../specialize/estimates.js';
import { Manifest } from '../specialize/manifest.js';
import { makeStages, openBench, openPlace } from '../specialize/opening.js';
import { type RunPlan, summarizePlan, usable } from '../specialize/plan.js';
import { type PlannedStage, type Stage, StageRunner } from '../specialize/stage-runner.js';
import { epochBatches } from '../training/batches.js';
import { TRAINING_DEFAULTS } from '../training/options.js';
import { type CountedMaterial, checkListsPerType, countMaterial, expectedSizes } from './material.js';
import { checkStudyOutput, readTestSet, referenceStages, trialStages, trialsOf, withEnoughLists } from './opening.js';
import { type StudyOptions, settleStudyOptions } from './options.js';
import type { StudyLists } from './pools.js';
import { readStudyLists } from './study.js';
import type { TestParts } from './test-stages.js';
import type { Trial } from './training-stage.js';
import { chooseVariants, tablesOf } from './variants.js';

/**
 * Says what `study` would do with these options, and what that would take: the shared stages, and training and test of
 * each variant with each seed. Where the shared stages are not done, lists are counted as if every query became one.
 * Reads all inputs, encodes a few passages for the speed of the model, and writes nothing.
 * @throws what `study` throws before its first stage
 */
export async function planStudy(given: StudyOptions): Promise<RunPlan<string>> {
  const settled = settleStudyOptions(given);
  const place = await openPlace(settled.run);
  await checkStudyOutput(place);
  await using bench = await openBench(place);
  const parts: TestParts = { bench, study: settled, test: await readTestSet(bench) };
  const manifest = await Manifest.open(place.directory.file('manifest'));
  const runner = new StageRunner<string>({ directory: place.directory.path, manifest, signal: settled.run.signal });
  const shared = await runner.plan([...(await makeStages(bench)), ...(await referenceStages(parts))]);
  const estimator = new Estimator(bench, usable(manifest, shared));
  const material = await countMaterial(bench);
  const wanted = chooseVariants(tablesOf(material), settled.variants);
  checkListsPerType(wanted, material, settled);
  const lists = isReused(shared, 'lists') ? await readStudyLists(bench, settled) : undefined;
  const tables = lists ? withEnoughLists(wanted, lists).tables : wanted;
  const stages: Stage<string>[] = [];
  for (const trial of trialsOf(tables, settled))
    stages.push(...(await estimated(trial, { parts, lists, material, estimator })));
  const planned = [...shared.map((one) => withQueries(one, parts, estimator)), ...(await runner.plan(stages, shared))];
  return summarizePlan(planned, { directory: place.directory.path, manifest, estimator });
}

function isReused(planned: readonly PlannedStage<string>[], name: string): boolean {
  return planned.some(({ stage, state }) => stage.name === name && state === 'reused');
}

/** Base and teacher encode the test queries alone. */
function withQueries(one: PlannedStage<string>, { test }: TestParts, estimator: Estimator): PlannedStage<string> {
  if (!one.stage.name.startsWith('test.')) return one;
  const estimate = () => estimator.encoding(test.collection.queries.length, 'queries');
  return { ...one, stage: { ...one.stage, estimate } };
}

interface Estimating {
  parts: TestParts;
  lists: StudyLists | undefined;
  material: CountedMaterial;
  estimator: Estimator;
}

async function estimated(trial: Trial, { parts, lists, material, estimator }: Estimating): Promise<Stage<string>[]> {
  const [training, test] = await trialStages(parts, trial, lists);
  const sizes = lists?.sizes(trial.variant) ?? expectedSizes(trial.variant, material, parts.study);
  const passages = parts.test.collection.size;
  const distinct = lists && (() => distinctPassages(trial, lists, parts));
  return [
    { ...training, estimate: async () => estimator.training({ ...sizes, distinct: await distinct?.() }) },
    { ...test, estimate: () => estimator.encoding(passages, 'passages') },
  ];
}

/** Of a step, on average over the first epoch: what a step costs, and what clustered batches spare. */
async function distinctPassages({ variant, seed }: Trial, lists: StudyLists, { bench }: TestParts): Promise<number> {
  const { batchSize, batching, signal } = { ...TRAINING_DEFAULTS, ...bench.options };
  const { train } = await lists.select(variant, seed);
  const listLength = train[0]!.passages.length;
  const rows = new Int32Array(train.length * listLength);
  const breathe = breather(signal);
  for (const [i, { passages }] of train.entries()) {
    for (const [j, { id }] of passages.entries()) rows[i * listLength + j] = bench.corpus.row(id)!;
    await breathe();
  }
  const set = { size: train.length, listLength, rows };
  const batches = await epochBatches(set, { batchSize, batching, seed, epoch: 0, signal });
  let distinct = 0;
  for (const batch of batches) {
    const seen = new Set<number>();
    for (const list of batch) for (let j = 0; j < listLength; j++) seen.add(rows[list * listLength + j]!);
    distinct += seen.size;
    await breathe();
  }
  return distinct / batches.length;
}

import { join } from 'node:path';
import { DataError } from '../errors.js';
import { writeLines } from '../formats/atomic.js';
import { removeLeftovers } from '../formats/leftovers.js';
import { makeDirectory } from '../formats/writing.js';
import { lockOutput } from '../output-lock.js';
import { writeJson } from '../specialize/evaluation-stage.js';
import { confirm } from '../specialize/invalidation.js';
import { Manifest } from '../specialize/manifest.js';
import { makeStages, openBench, openPlace, type Place } from '../specialize/opening.js';
import { RunProgress } from '../specialize/run-progress.js';
import { type PlannedStage, type Stage, type StageEvent, StageRunner } from '../specialize/stage-runner.js';
import type { Workbench } from '../specialize/workbench.js';
import type { Progress } from '../types.js';
import { STUDY_FILES } from './files.js';
import { studyMarkdown } from './markdown.js';
import { checkListsPerType, countMaterial } from './material.js';
import { checkStudyOutput, readTestSet, referenceStages, trialStages, trialsOf, withEnoughLists } from './opening.js';
import { type SettledStudy, type StudyOptions, settleStudyOptions } from './options.js';
import { studyPage } from './page.js';
import { StudyLists } from './pools.js';
import { gatherFacts, type StudyFacts } from './results.js';
import { chooseVariants, tablesOf } from './variants.js';

/** What a study gave: the facts of study.json, and where they are. */
export interface Study extends StudyFacts {
  /** The run directory. */
  directory: string;
  /** study.html, a page for people. */
  report: string;
  /** Of this call; what was done before took its own time. */
  seconds: number;
}

/**
 * Trains the variants that the papers compare on one set of queries, and compares each with the base on a test set: by
 * InfoNCE alone, by listwise distillation alone and by both; on each type of query alone and on all mixed, at equal
 * numbers; on written and on people's queries (arXiv 2502.19712, 2505.19274). Then says, by rules, which of the papers'
 * findings show.
 *
 * Everything is written to a run directory like that of `specialize`, with which it shares all stages before training:
 * nothing that is there with the same options is done again, and a study that was stopped goes on where it was. All
 * variants are trained by the same options, from lists that were split by source passage together.
 * @throws InvalidArgumentError or ListwiseError INVALID_ARGUMENT for options, before any work
 * @throws NotFoundError, DataError, ModelError for what the options name; WriteError for what cannot be written
 * @throws NoListsError where the teacher left no list; ListwiseError BUSY if another process works in the run directory,
 *   NOT_CONFIRMED if `onInvalidate` says no
 * @throws `signal.reason` when aborted
 */
export async function study(given: StudyOptions): Promise<Study> {
  const started = performance.now();
  const settled = settleStudyOptions(given);
  const place = await openPlace(settled.run);
  const { directory } = place;
  await checkStudyOutput(place);
  await makeDirectory(directory.path);
  const hint = ` \`listwise status ${settled.run.output}\` says where it is.`;
  using _ = await lockOutput(directory.path, { file: directory.file('lock'), hint });
  await removeLeftovers(directory.path);
  const progress = new RunProgress(directory);
  try {
    const facts = await runStudy(settled, place, progress);
    await writeJson(join(directory.path, STUDY_FILES.facts), facts);
    await writeLines(join(directory.path, STUDY_FILES.tables), [studyMarkdown(facts).trimEnd()]);
    const page = join(directory.path, STUDY_FILES.page);
    await writeLines(page, [studyPage(facts)]);
    await progress.end();
    return {
      directory: directory.path,
      report: page,
      ...facts,
      seconds: Math.round(performance.now() - started) / 1000,
    };
  } catch (error) {
    await progress.end(settled.run.signal?.aborted ? undefined : error);
    throw error;
  }
}

async function runStudy(settled: SettledStudy, place: Place, progress: RunProgress): Promise<StudyFacts> {
  const { options, onStage } = watch(settled, place, progress);
  const { directory } = place;
  await using bench = await openBench({ ...place, options });
  const test = await readTestSet(bench);
  const parts = { bench, study: settled, test };
  const material = await countMaterial(bench);
  const wanted = chooseVariants(tablesOf(material), settled.variants);
  checkListsPerType(wanted, material, settled);
  const manifest = await Manifest.open(directory.file('manifest'));
  const runner = new StageRunner<string>({ directory: directory.path, manifest, signal: options.signal, onStage });
  const shared = await planAndRun(runner, [...(await makeStages(bench)), ...(await referenceStages(parts))], settled);
  const lists = await readStudyLists(bench, settled);
  const { tables, leftOut } = withEnoughLists(wanted, lists);
  if (tables.length === 0) {
    const reasons = leftOut.map(({ variant, reason }) => `${variant}: ${reason}`).join('; ');
    throw new DataError({ file: directory.file('train') }, `Expected lists for at least one variant but ${reasons}.`);
  }
  const stages: Stage<string>[] = [];
  for (const trial of trialsOf(tables, settled)) stages.push(...(await trialStages(parts, trial, lists)));
  await planAndRun(runner, stages, settled, shared);
  const hasTeacher = shared.some(({ stage }) => stage.name === 'test.teacher');
  return gatherFacts({ ...parts, manifest, tables, leftOut, hasTeacher });
}

/** The options with reporters that also keep the run's own record of where it is. */
function watch({ onStage, run }: SettledStudy, { options }: Place, progress: RunProgress) {
  let training = '';
  const onProgress = (one: Progress) => {
    const told = training ? { ...one, stage: `${training}: ${one.stage}` } : one;
    progress.report(told);
    run.onProgress?.(told);
  };
  const heard = (event: StageEvent<string>) => {
    const [, variant, seed] = event.stage.split('.');
    const isTrial = event.status === 'started' && seed !== undefined;
    training = isTrial ? `${variant}, seed ${seed}` : '';
    progress.stage(event);
    onStage?.(event);
  };
  return { options: { ...options, onProgress }, onStage: heard };
}

async function planAndRun(
  runner: StageRunner<string>,
  stages: readonly Stage<string>[],
  { onInvalidate }: SettledStudy,
  before: readonly PlannedStage<string>[] = [],
): Promise<PlannedStage<string>[]> {
  const plan = await runner.plan(stages, before);
  await confirm(plan, onInvalidate);
  for (const stage of plan) await runner.run(stage);
  return plan;
}

/** The lists that the shared stages made. */
export function readStudyLists(bench: Workbench, { listsPerType, devLists }: SettledStudy): Promise<StudyLists> {
  return StudyLists.read(bench, { listsPerType, devLists, signal: bench.options.signal });
}

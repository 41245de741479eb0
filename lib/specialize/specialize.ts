import { readFile } from 'node:fs/promises';
import { removeLeftovers } from '../formats/leftovers.js';
import { makeDirectory } from '../formats/writing.js';
import type { Json } from '../hashes.js';
import { lockOutput } from '../output-lock.js';
import { writeReport } from '../report/report.js';
import type { Progress } from '../types.js';
import type { EvaluationResult } from './evaluation-stage.js';
import { confirm } from './invalidation.js';
import { makeStages, openBench, openPlace, openRunner, type Place } from './opening.js';
import { type SettledOptions, type SpecializeOptions, settleSpecializeOptions } from './options.js';
import type { Promotion } from './promotion-stage.js';
import type { RunDirectory } from './run-directory.js';
import { RunProgress } from './run-progress.js';
import type { StageEvent } from './stage-runner.js';
import type { StageName } from './stages.js';

/** What became of a stage. */
export interface StageSummary {
  /** Whether it was complete before, so that nothing was done. */
  reused: boolean;
  /** Seconds that it took, now or when it was done. */
  seconds: number;
  counts: Json;
}

/** What a run gave. */
export interface Specialization {
  /** The run directory. */
  directory: string;
  /**
   * The directory of the model to use: the trained one if the gate promoted it, else the base. Absent if the run was to
   * end before that.
   */
  model?: string;
  /** The trained model's directory, promoted or not; absent if the run was to end before training. */
  trained?: string;
  /** What the gate decided, and why; absent if the run was to end before it. */
  promotion?: Promotion;
  /** Base against trained model; absent if the run was to end before evaluation. */
  evaluation?: EvaluationResult;
  /** report.html, a page for people; absent if the run was to end before evaluation. */
  report?: string;
  /** By stage, in their order. */
  stages: Partial<Record<StageName, StageSummary>>;
  seconds: number;
}

/**
 * Makes an embedding model better at searching a corpus, and measures whether it is: written queries are searched for
 * candidates, a teacher scores these, lists are made of the scores, the model is trained on them, and base and trained
 * model are compared on held-out queries. A gate then decides which of the two the run recommends.
 *
 * Everything is written to a run directory, which no other process may use meanwhile. A stage that is complete there
 * with the same options and inputs is not done again; one that was stopped goes on; one that changed is done again, with
 * those that build on it.
 * @throws InvalidArgumentError or ListwiseError INVALID_ARGUMENT for options, before any work
 * @throws NotFoundError, DataError, ModelError for what the options name; WriteError for what cannot be written
 * @throws NoListsError where the teacher left no list; ListwiseError BUSY if another process works in the run directory,
 *   NOT_CONFIRMED if `onInvalidate` says no
 * @throws `signal.reason` when aborted
 */
export async function specialize(given: SpecializeOptions): Promise<Specialization> {
  const started = performance.now();
  const place = await openPlace(settleSpecializeOptions(given));
  const { directory, options } = place;
  await makeDirectory(directory.path);
  const hint = ` \`listwise status ${options.output}\` says where it is.`;
  using _ = await lockOutput(directory.path, { file: directory.file('lock'), hint });
  await removeLeftovers(directory.path);
  const progress = new RunProgress(directory);
  try {
    const stages = await runStages(place, progress);
    const report = stages.evaluation && (await writeReport(directory.path, { signal: options.signal }));
    const result = { ...(await resultOf(directory, stages)), ...(report && { report }) };
    await progress.end();
    return { ...result, seconds: Math.round(performance.now() - started) / 1000 };
  } catch (error) {
    await progress.end(options.signal?.aborted ? undefined : error);
    throw error;
  }
}

async function runStages(place: Place, progress: RunProgress): Promise<Specialization['stages']> {
  const { onInvalidate, onProgress } = place.options;
  const stages: Specialization['stages'] = {};
  const onStage = (event: StageEvent) => {
    progress.stage(event);
    note(event, stages, place.options);
  };
  const report = (one: Progress) => {
    progress.report(one);
    onProgress?.(one);
  };
  const watched = { ...place, options: { ...place.options, onStage, onProgress: report } };
  await using bench = await openBench(watched);
  const runner = await openRunner(watched);
  const plan = await runner.plan(await makeStages(bench));
  await confirm(plan, onInvalidate);
  for (const stage of plan) await runner.run(stage);
  return stages;
}

async function resultOf(
  directory: RunDirectory,
  stages: Specialization['stages'],
): Promise<Omit<Specialization, 'seconds'>> {
  return {
    directory: directory.path,
    ...(stages.training && { trained: directory.file('model') }),
    ...(stages.evaluation && { evaluation: await readJson<EvaluationResult>(directory.file('comparison')) }),
    ...(stages.promotion && {
      model: directory.file('chosenModel'),
      promotion: await readJson<Promotion>(directory.file('promotion')),
    }),
    stages,
  };
}

function note(event: StageEvent, stages: Specialization['stages'], { onStage }: SettledOptions): void {
  if (event.status === 'reused' || event.status === 'done') {
    const { stage, status, seconds, counts } = event;
    stages[stage] = { reused: status === 'reused', seconds, counts };
  }
  onStage?.(event);
}

async function readJson<T>(file: string): Promise<T> {
  return JSON.parse(await readFile(file, 'utf8')) as T;
}

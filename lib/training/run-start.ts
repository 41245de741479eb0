import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ListwiseError } from '../errors.js';
import { hashFile } from '../hashes.js';
import { type EmbeddingModel, replaceWeights } from '../models/model.js';
import { weightsFile } from '../models/weights.js';
import { native } from '../native.js';
import { versions } from '../versions.js';
import type { Checkpoint, Checkpoints } from './checkpoints.js';
import type { SettledOptions } from './options.js';
import type { MemoryPlan } from './planner.js';
import { SUMMARY, type TrainingResult, type TrainingSummary } from './result.js';
import { changesOf, type RunInputs } from './run-inputs.js';

/** What a run tells of itself beside its progress. */
export type TrainingEvent =
  /** The run goes on after `step` steps; `note` says what may make it differ in its last digits. */
  | { kind: 'resumed'; step: number; note?: string }
  /** An unfinished run was there, but not this one. */
  | { kind: 'anew'; reason: string }
  /** How a step is cut to fit into memory: at its first step, and where that changes. */
  | { kind: 'plan'; step: number; plan: MemoryPlan }
  /** Memory ran out in a step, which was done in smaller pieces, as are those after it. */
  | { kind: 'shortage'; step: number; tokenBudget: number }
  /** The same run was finished before: its result is given again. */
  | { kind: 'finished'; directory: string };

/** Where a run begins: at its end, at a checkpoint or at its start. */
export type RunStart = { finished: TrainingResult } | { checkpoint: Checkpoint } | { checkpoint?: undefined };

/**
 * Looks what an earlier run left in the output directory, and takes over a checkpoint's weights if it is this run's.
 * @throws ListwiseError NOT_FOUND or INVALID_ARGUMENT where `resume` is 'must' and there is nothing to go on with
 */
export async function startRun(
  model: EmbeddingModel,
  inputs: RunInputs,
  { options, checkpoints }: { options: SettledOptions; checkpoints: Checkpoints },
): Promise<RunStart> {
  const { resume, output, onEvent, signal } = options;
  if (resume === 'never') return {};
  const finished = await finishedRun(model, inputs, output);
  if (finished) {
    onEvent?.({ kind: 'finished', directory: finished.directory });
    return { finished };
  }
  const checkpoint = await checkpoints.latest();
  const reason = checkpoint && changesOf(checkpoint.inputs, inputs);
  if (resume === 'must' && (!checkpoint || reason)) throw nothingToResume(output, reason);
  if (reason) onEvent?.({ kind: 'anew', reason });
  if (!checkpoint || reason) return {};
  if (checkpoint.weights) await replaceWeights(model, checkpoint.weights, signal);
  const note = await machineChanges(checkpoint, model);
  onEvent?.({ kind: 'resumed', step: checkpoint.state.step, ...(note && { note }) });
  return { checkpoint };
}

/** The result of a finished run of these inputs whose model is still there. */
async function finishedRun(
  model: EmbeddingModel,
  inputs: RunInputs,
  output: string,
): Promise<TrainingResult | undefined> {
  const text = await readFile(join(output, SUMMARY), 'utf8').catch(() => '');
  if (text === '') return undefined;
  try {
    const { options: _, inputs: earlier, weights, ...result } = JSON.parse(text) as TrainingSummary;
    const directory = join(output, 'model');
    if (changesOf(earlier, inputs) !== undefined) return undefined;
    if ((await hashFile(weightsFile(model, directory))) !== weights) return undefined;
    return { ...result, directory };
  } catch {
    // Of another version, or something else of that name: the run that begins now replaces it.
    return undefined;
  }
}

function nothingToResume(output: string, reason: string | undefined): ListwiseError {
  const wanted = "resume is 'must', but";
  const remedy = "give resume 'auto' to start anew";
  if (reason === undefined) {
    return new ListwiseError('NOT_FOUND', `${wanted} ${output} holds no checkpoint to go on from; ${remedy}.`);
  }
  const problem = `the run in ${output} is another one: ${reason}`;
  return new ListwiseError('INVALID_ARGUMENT', `${wanted} ${problem}; ${remedy}, or another output.`);
}

/** What decides how sums are rounded: a run that goes on where these are equal gives the same bits. */
export async function describeMachine(model: EmbeddingModel): Promise<Record<string, string | number>> {
  const { threads, kernels } = native().environment();
  const { torch } = await versions();
  return { torch: torch!, threads, kernels, device: model.encoder.device };
}

async function machineChanges({ machine }: Checkpoint, model: EmbeddingModel): Promise<string | undefined> {
  const now = await describeMachine(model);
  const changed = Object.keys(now).filter((name) => machine[name] !== now[name]);
  if (changed.length === 0) return undefined;
  const told = changed.map((name) => `${name} ${now[name]} in place of ${machine[name]}`).join(', ');
  return `${told}: the result may differ in its last digits from that of an uninterrupted run`;
}

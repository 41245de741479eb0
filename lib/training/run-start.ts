import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ListwiseError } from '../errors.js';
import { hashFile } from '../hashes.js';
import { native } from '../native.js';
import { versions } from '../versions.js';
import type { BrokenCheckpoint, Checkpoint, Checkpoints } from './checkpoints.js';
import type { MemoryPlan } from './planner.js';
import { type RunResult, type RunSummary, SUMMARY } from './result.js';
import { changesOf, type RunInputs } from './run-inputs.js';
import type { SettledRunOptions } from './run-options.js';
import type { Trainee } from './trainee.js';

/** What a run tells of itself beside its progress. */
export type TrainingEvent =
  /** The run goes on after `step` steps; `note` says what may make it differ in its last digits. */
  | { kind: 'resumed'; step: number; note?: string }
  /**
   * Of trainCrossEncoder with labels 'first': in `judged` of the lists of a source, scores look like judgements by which
   * further passages are relevant, and these are negatives now. Not told again where the run goes on.
   */
  | { kind: 'labels'; source: string; lists: number; judged: number }
  /** Another run was there, and it was agreed that this one takes its place. */
  | { kind: 'anew'; reason: string }
  /** A checkpoint cannot be used; the run goes on from an older one, after step `next`, or starts anew where there is none. */
  | { kind: 'broken'; step: number; directory: string; problem: string; next?: number }
  /** How a step is cut to fit into memory: at its first step, and where that changes. */
  | { kind: 'plan'; step: number; plan: MemoryPlan }
  /** Memory ran out in a step, which was done in smaller pieces, as are those after it. */
  | { kind: 'shortage'; step: number; tokenBudget: number }
  /** The same run was finished before: its result is given again. */
  | { kind: 'finished'; directory: string };

/** A run that was there before, in whose place the one that is begun would come. */
export interface EarlierRun {
  /** The directory of both. */
  output: string;
  /** 'finished', or how far it came: 'stopped after step 12'. */
  state: string;
  /** How it differs from the one that is begun. */
  reason: string;
}

/** Where a run begins: at its end, at a checkpoint or at its start. */
export type RunStart = { finished: RunResult } | { checkpoint: Checkpoint } | { checkpoint?: undefined };

/**
 * Looks what an earlier run left in the output directory, and takes over a checkpoint's weights if it is this run's.
 * @throws ListwiseError NOT_FOUND or INVALID_ARGUMENT where `resume` is 'must' and there is nothing to go on with;
 *   NOT_CONFIRMED where another run would be lost and `onReplace` does not agree
 */
export async function startRun(
  trainee: Trainee,
  inputs: RunInputs,
  { options, checkpoints }: { options: SettledRunOptions; checkpoints: Checkpoints },
): Promise<RunStart> {
  const { resume, output, onEvent, onReplace, signal } = options;
  if (resume === 'never') return {};
  const finished = await finishedRun(trainee, inputs, output);
  if (finished && 'result' in finished) {
    onEvent?.({ kind: 'finished', directory: finished.result.directory });
    return { finished: finished.result };
  }
  const broken: BrokenCheckpoint[] = [];
  const checkpoint = await checkpoints.latest((one) => broken.push(one));
  const reason = checkpoint && changesOf(checkpoint.inputs, inputs);
  const goesOn = checkpoint !== undefined && reason === undefined;
  for (const one of broken) onEvent?.({ kind: 'broken', ...one, ...(goesOn && { next: checkpoint.state.step }) });
  if (resume === 'must' && !goesOn) throw nothingToResume(output, reason, broken);
  if (goesOn) {
    if (checkpoint.weights) await trainee.replaceWeights(checkpoint.weights, signal);
    const note = await machineChanges(checkpoint, trainee);
    onEvent?.({ kind: 'resumed', step: checkpoint.state.step, ...(note && { note }) });
    return { checkpoint };
  }
  const earlier = reason
    ? { output, state: `stopped after step ${checkpoint!.state.step}`, reason }
    : finished && { output, state: 'finished', reason: finished.reason };
  // Of a run that took no step there is nothing to lose.
  if (earlier && checkpoint?.state.step !== 0) await confirmReplacing(earlier, onReplace);
  if (earlier) onEvent?.({ kind: 'anew', reason: earlier.reason });
  return {};
}

/** A run that is there already, in words. */
export function describeEarlierRun({ output, state, reason }: EarlierRun): string {
  return `${output} holds another run (${state}), which is not the one asked for: ${reason}`;
}

async function confirmReplacing(earlier: EarlierRun, onReplace: SettledRunOptions['onReplace']): Promise<void> {
  if (await onReplace?.(earlier)) return;
  throw new ListwiseError(
    'NOT_CONFIRMED',
    `Nothing was done, for ${describeEarlierRun(earlier)}. Give its options and inputs to have that one, another output ` +
      "to have both, or resume 'never' to start anew in its place.",
  );
}

/**
 * The result of a finished run of these inputs whose model is as it was left; or why what is there is none, where that
 * is worth keeping. A model that was removed is missed by nobody.
 */
async function finishedRun(
  trainee: Trainee,
  inputs: RunInputs,
  output: string,
): Promise<{ result: RunResult } | { reason: string } | undefined> {
  const text = await readFile(join(output, SUMMARY), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const summary = parseSummary(text);
  if (!summary) return { reason: `its ${SUMMARY} is not of this version, or of another tool` };
  const { options: _, inputs: earlier, weights, ...result } = summary;
  const directory = join(output, 'model');
  const there = await hashFile(trainee.weightsFile(directory)).catch(() => undefined);
  if (there === undefined) return undefined;
  const reason = changesOf(earlier, inputs);
  if (reason !== undefined) return { reason };
  if (there !== weights) return { reason: 'the weights in model/ were changed since' };
  return { result: { ...result, directory } };
}

function parseSummary(text: string): RunSummary | undefined {
  try {
    const summary = JSON.parse(text) as RunSummary;
    return typeof summary?.inputs?.options === 'object' && typeof summary.inputs.hashes === 'object'
      ? summary
      : undefined;
  } catch {
    return undefined;
  }
}

function nothingToResume(
  output: string,
  reason: string | undefined,
  broken: readonly BrokenCheckpoint[],
): ListwiseError {
  const wanted = "resume is 'must', but";
  const remedy = "give resume 'never' to start anew";
  if (reason !== undefined) {
    const problem = `the run in ${output} is another one: ${reason}`;
    return new ListwiseError('INVALID_ARGUMENT', `${wanted} ${problem}; ${remedy}, or another output.`);
  }
  const [first] = broken;
  const whole = first
    ? `whole checkpoint to go on from (step ${first.step}: ${first.problem})`
    : 'checkpoint to go on from';
  return new ListwiseError('NOT_FOUND', `${wanted} ${output} holds no ${whole}; ${remedy}.`);
}

/** What decides how sums are rounded: a run that goes on where these are equal gives the same bits. */
export async function describeMachine({ encoder }: Trainee): Promise<Record<string, string | number>> {
  const { threads, kernels } = native().environment();
  const { torch } = await versions();
  return { torch: torch!, threads, kernels, device: encoder.device };
}

async function machineChanges({ machine }: Checkpoint, trainee: Trainee): Promise<string | undefined> {
  const now = await describeMachine(trainee);
  const changed = Object.keys(now).filter((name) => machine[name] !== now[name]);
  if (changed.length === 0) return undefined;
  const told = changed.map((name) => `${name} ${now[name]} in place of ${machine[name]}`).join(', ');
  return `${told}: the result may differ in its last digits from that of an uninterrupted run`;
}

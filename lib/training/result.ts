import { join } from 'node:path';
import { writeLines } from '../formats/atomic.js';
import type { AnyLosses, Losses } from '../native.js';
import type { StopReason, TrainingState } from './checkpoints.js';
import type { EvaluationRecord } from './log.js';
import type { Found } from './objective.js';
import type { RunInputs } from './run-inputs.js';
import type { SettledRunOptions } from './run-options.js';
import type { StepPlan } from './schedule.js';
import type { TemperatureMatch } from './temperature.js';
import type { TrainingData } from './training-set.js';

export interface ListCounts {
  train: number;
  dev: number;
  listLength: number;
  passages: number;
}

/** What any run gave; training.json holds the same, with the options. */
export interface RunResult<L extends AnyLosses = AnyLosses> extends Found {
  /** The trained model, in sentence-transformers' layout. */
  directory: string;
  /** Steps taken. */
  steps: number;
  stopped: StopReason;
  /** Losses on dev: the base model, the weights that were kept, and every evaluation. Absent without dev. */
  base?: EvaluationRecord<L>;
  best?: EvaluationRecord<L>;
  evaluations: EvaluationRecord<L>[];
  /** Lists, the passages of each (of several sets the most), and distinct passages. */
  lists: ListCounts & { sets?: (ListCounts & { name: string })[] };
  plan: StepPlan;
  seconds: number;
}

/** What a run of trainListwise gave. */
export interface TrainingResult extends RunResult<Losses> {
  /** Teacher temperature used, and how it was found if it was matched. */
  teacherTemperature: number;
  temperatureMatch?: TemperatureMatch;
}

/** training.json. */
export interface RunSummary extends RunResult {
  options: Record<string, unknown>;
  inputs: RunInputs;
  /** SHA-256 of model.safetensors. */
  weights: string;
}

export const SUMMARY = 'training.json';

/** What a run that has ended gave. */
export function describeResult(
  state: TrainingState,
  { directory, data, plan, found }: { directory: string; data: TrainingData; plan: StepPlan; found: Found },
): Omit<RunResult, 'seconds'> {
  const { evaluations, earlyStopping } = state;
  return {
    directory,
    steps: state.step,
    stopped: state.stopped!,
    ...found,
    base: evaluations[0],
    best: evaluations.find((one) => one.step === earlyStopping.bestStep),
    evaluations,
    lists: countLists(data),
    plan,
  };
}

function countLists({ sets }: TrainingData): RunResult['lists'] {
  const counts = sets.map(({ name, train, dev }) => ({
    ...{ name, train: train.size, dev: dev?.size ?? 0, listLength: train.listLength, passages: train.passages.count },
  }));
  const sum = (of: 'train' | 'dev' | 'passages') => counts.reduce((total, count) => total + count[of], 0);
  return {
    ...{ train: sum('train'), dev: sum('dev'), passages: sum('passages') },
    listLength: Math.max(...counts.map(({ listLength }) => listLength)),
    ...(counts.length > 1 && { sets: counts }),
  };
}

/** Writes training.json, whole or not at all. */
export async function writeSummary(options: SettledRunOptions, result: Omit<RunSummary, 'options'>): Promise<void> {
  const told = new Set(['signal', 'onProgress', 'onStep', 'onEvent', 'onReplace']);
  const { lists, dev, corpus, ...rest } = options;
  const plain = Object.fromEntries(Object.entries(rest).filter(([name]) => !told.has(name)));
  const source = (value: unknown) => {
    if (typeof value === 'string' || !Array.isArray(value)) return typeof value === 'string' ? value : undefined;
    return value.every((one) => typeof one === 'string') ? value : value.length;
  };
  const summary: RunSummary = {
    options: { ...plain, lists: source(lists), dev: source(dev), corpus: source(corpus) },
    ...result,
  };
  await writeLines(join(options.output, SUMMARY), [JSON.stringify(summary, null, 2)]);
}

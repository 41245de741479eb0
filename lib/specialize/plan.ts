import type { Json } from '../hashes.js';
import { Estimator } from './estimates.js';
import { type Invalidation, invalidations } from './invalidation.js';
import { Manifest } from './manifest.js';
import { makeStages, openBench, openPlace, openRunner } from './opening.js';
import { type SpecializeOptions, settleSpecializeOptions } from './options.js';
import type { Estimate, PlannedStage } from './stage-runner.js';
import type { StageName } from './stages.js';

/** What is to become of a stage. */
export interface StagePlan {
  stage: StageName;
  /** 'reused': complete. 'continued': begun, and goes on. 'invalidated': done again. 'new': not begun. */
  state: PlannedStage['state'];
  /** Why it is done again. */
  reason?: string;
  /** What it counted, and how long it took, when it was done. */
  counts?: Json;
  seconds?: number;
  /** What it would work on, unless it is reused; a stage that goes on has some of that behind it. */
  estimate?: Estimate;
}

/** What `specialize` would do with the same options. */
export interface RunPlan {
  /** The run directory. */
  directory: string;
  stages: StagePlan[];
  /** Work that would be lost; see `onInvalidate`. */
  invalidated: Invalidation[];
  /** Sums over what is to be done. Seconds are those of the models here alone. */
  tokens: number;
  seconds: number;
  /** There where a stage knows its prices. */
  cost?: number;
}

/**
 * Says what `specialize` would do with these options, and what that would take: which stages are reused, go on, or are
 * done again and why. Reads all inputs, encodes a few passages for the speed of the model, and writes nothing.
 * @throws what `specialize` throws before its first stage
 */
export async function planSpecialization(given: SpecializeOptions): Promise<RunPlan> {
  const place = await openPlace(settleSpecializeOptions(given));
  await using bench = await openBench(place);
  const runner = await openRunner(place);
  const manifest = await Manifest.open(place.directory.file('manifest'));
  const planned = await runner.plan(await makeStages(bench));
  const estimator = new Estimator(bench, usable(manifest, planned));
  const stages: StagePlan[] = [];
  for (const one of planned) stages.push(await describeStage(one, manifest, estimator));
  const sum = (name: 'tokens' | 'seconds') => stages.reduce((total, one) => total + (one.estimate?.[name] ?? 0), 0);
  const costs = stages.flatMap(({ estimate }) => (estimate?.cost === undefined ? [] : [estimate.cost]));
  return {
    directory: place.directory.path,
    stages,
    invalidated: invalidations(planned),
    tokens: sum('tokens'),
    seconds: Math.round(sum('seconds')),
    ...(costs.length > 0 && { cost: costs.reduce((total, cost) => total + cost, 0) }),
  };
}

/** The records of stages that are reused: what the others counted does not hold any more. */
function usable(manifest: Manifest, planned: readonly PlannedStage[]): Pick<Manifest, 'get'> {
  const reused = new Set(planned.filter(({ state }) => state === 'reused').map(({ stage }) => stage.name));
  return { get: (stage) => (reused.has(stage) ? manifest.get(stage) : undefined) };
}

async function describeStage(planned: PlannedStage, manifest: Manifest, estimator: Estimator): Promise<StagePlan> {
  const { stage, state, reason } = planned;
  if (state === 'reused') {
    const { counts, seconds } = manifest.get(stage.name)!;
    return { stage: stage.name, state, counts, seconds };
  }
  const estimate = stage.estimate ? await stage.estimate() : await estimator.of(stage.name);
  if (stage.name === 'queries') estimator.expectQueries(estimate.count);
  return { stage: stage.name, state, ...(reason !== undefined && { reason }), estimate };
}

import type { Json } from '../hashes.js';
import { Estimator } from './estimates.js';
import { type Invalidation, invalidations } from './invalidation.js';
import { Manifest } from './manifest.js';
import { makeStages, openBench, openPlace, openRunner } from './opening.js';
import { type SpecializeOptions, settleSpecializeOptions } from './options.js';
import type { Estimate, PlannedStage } from './stage-runner.js';
import type { StageName } from './stages.js';

/** What is to become of a stage. */
export interface StagePlan<Name extends string = StageName> {
  stage: Name;
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
export interface RunPlan<Name extends string = StageName> {
  /** The run directory. */
  directory: string;
  stages: StagePlan<Name>[];
  /** Work that would be lost; see `onInvalidate`. */
  invalidated: Invalidation<Name>[];
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
  return summarizePlan(planned, { directory: place.directory.path, manifest, estimator });
}

export interface PlanParts {
  directory: string;
  manifest: Manifest;
  /** For the stages of a run; others have estimates of their own. */
  estimator: Estimator;
}

/** A plan with estimates and their sums. */
export async function summarizePlan<Name extends string>(
  planned: readonly PlannedStage<Name>[],
  { directory, ...parts }: PlanParts,
): Promise<RunPlan<Name>> {
  const stages: StagePlan<Name>[] = [];
  for (const one of planned) stages.push(await describeStage(one, parts));
  const sum = (name: 'tokens' | 'seconds') => stages.reduce((total, one) => total + (one.estimate?.[name] ?? 0), 0);
  const costs = stages.flatMap(({ estimate }) => (estimate?.cost === undefined ? [] : [estimate.cost]));
  return {
    directory,
    stages,
    invalidated: invalidations(planned),
    tokens: sum('tokens'),
    seconds: Math.round(sum('seconds')),
    ...(costs.length > 0 && { cost: costs.reduce((total, cost) => total + cost, 0) }),
  };
}

/** The records of stages that are reused: what the others counted does not hold any more. */
export function usable(manifest: Manifest, planned: readonly PlannedStage<string>[]): Pick<Manifest, 'get'> {
  const reused = new Set(planned.filter(({ state }) => state === 'reused').map(({ stage }) => stage.name));
  return { get: (stage) => (reused.has(stage) ? manifest.get(stage) : undefined) };
}

async function describeStage<Name extends string>(
  { stage, state, reason }: PlannedStage<Name>,
  { manifest, estimator }: Omit<PlanParts, 'directory'>,
): Promise<StagePlan<Name>> {
  if (state === 'reused') {
    const { counts, seconds } = manifest.get(stage.name)!;
    return { stage: stage.name, state, counts, seconds };
  }
  const estimate = stage.estimate ? await stage.estimate() : await estimator.of(stage.name as StageName);
  if (stage.name === 'queries') estimator.expectQueries(estimate.count);
  return { stage: stage.name, state, ...(reason !== undefined && { reason }), estimate };
}

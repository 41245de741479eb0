import { ListwiseError } from '../errors.js';
import type { PlannedStage } from './stage-runner.js';
import type { StageName } from './stages.js';

/** A stage whose work is about to be lost, because options or inputs are not those it was done with. */
export interface Invalidation<Name extends string = StageName> {
  stage: Name;
  /** What changed, in words. */
  reason: string;
  /** Later stages that are lost with it. */
  later: Name[];
}

/** Hears what would be lost, before anything is; `false` stops the run. */
export type OnInvalidate<Name extends string = StageName> = (lost: Invalidation<Name>[]) => boolean | Promise<boolean>;

/** What a plan would lose. */
export function invalidations<Name extends string>(plan: readonly PlannedStage<Name>[]): Invalidation<Name>[] {
  return plan
    .filter(({ state, after, loses, later }) => state === 'invalidated' && !after && (loses || later.length > 0))
    .map(({ stage, reason, later }) => ({ stage: stage.name, reason: reason!, later }));
}

/** One line a stage: what is done again, with what, and why. */
export function describeInvalidation({ stage, reason, later }: Invalidation<string>): string {
  return `${stage} is done again${later.length > 0 ? `, and after it ${later.join(', ')}` : ''}: ${reason}`;
}

/** @throws ListwiseError NOT_CONFIRMED if work would be lost and `onInvalidate` does not agree */
export async function confirm<Name extends string>(
  plan: readonly PlannedStage<Name>[],
  onInvalidate?: OnInvalidate<Name>,
): Promise<void> {
  const lost = invalidations(plan);
  if (lost.length === 0 || !onInvalidate || (await onInvalidate(lost))) return;
  throw new ListwiseError(
    'NOT_CONFIRMED',
    `Nothing was done, for it would lose work of the run: ${lost.map(describeInvalidation).join('; ')}. Give the options ` +
      'of the run to keep it, another output to have both, or agree to lose it.',
  );
}

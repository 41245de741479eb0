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
  /** Which of all these were under way, and how far; absent where none was. */
  begun?: { stage: Name; state: string }[];
}

/** Hears what would be lost, before anything is; `false` stops the run. */
export type OnInvalidate<Name extends string = StageName> = (lost: Invalidation<Name>[]) => boolean | Promise<boolean>;

/** What a plan would lose. */
export function invalidations<Name extends string>(plan: readonly PlannedStage<Name>[]): Invalidation<Name>[] {
  return plan
    .filter(({ state, after, loses, later }) => state === 'invalidated' && !after && (loses || later.length > 0))
    .map(({ stage, reason, later }) => {
      const lost: Name[] = [stage.name, ...later];
      const begun = plan.flatMap((one) =>
        one.begun !== undefined && lost.includes(one.stage.name) ? { stage: one.stage.name, state: one.begun } : [],
      );
      return { stage: stage.name, reason: reason!, later, ...(begun.length > 0 && { begun }) };
    });
}

/** One line a stage: what is done again, with what, why, and what is lost of stages that were under way. */
export function describeInvalidation({ stage, reason, later, begun = [] }: Invalidation<string>): string {
  const after = later.length > 0 ? `, and after it ${later.join(', ')}` : '';
  const states = begun.map((one) => `${one.stage} had ${one.state}`);
  return `${stage} is done again${after}: ${reason}${states.length > 0 ? ` (${states.join(', ')})` : ''}`;
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

import type { Losses } from '../native.js';

/** What early stopping remembers between evaluations. */
export interface EarlyStoppingState {
  /** Lowest listwise loss on dev so far. */
  bestListwise: number;
  /** Lowest whole loss on dev so far, and the steps taken when it was measured: these weights are kept. */
  bestLoss: number;
  bestStep: number;
  /** Evaluations since either of the two improved. */
  withoutImprovement: number;
}

export interface Judgement {
  state: EarlyStoppingState;
  /** The whole loss is the lowest so far: keep these weights. */
  isBest: boolean;
  /** Neither loss has improved for `patience` evaluations. */
  shouldStop: boolean;
}

/** Before the first evaluation. Not infinities, which JSON cannot hold. */
export const NOTHING_SEEN: EarlyStoppingState = {
  bestListwise: Number.MAX_VALUE,
  bestLoss: Number.MAX_VALUE,
  bestStep: 0,
  withoutImprovement: 0,
};

/**
 * Judges an evaluation on dev: training goes on while the best listwise loss or the best whole loss still improves.
 * A measure of which more is better takes the place of both when it is negated.
 * @param patience evaluations without improvement after which to stop
 */
export function judgeEvaluation(
  state: EarlyStoppingState,
  { losses, step, patience }: { losses: Pick<Losses, 'listwise' | 'loss'>; step: number; patience: number },
): Judgement {
  const isBest = losses.loss < state.bestLoss;
  const improved = isBest || losses.listwise < state.bestListwise;
  const next: EarlyStoppingState = {
    bestListwise: Math.min(state.bestListwise, losses.listwise),
    bestLoss: isBest ? losses.loss : state.bestLoss,
    bestStep: isBest ? step : state.bestStep,
    withoutImprovement: improved ? 0 : state.withoutImprovement + 1,
  };
  return { state: next, isBest, shouldStop: next.withoutImprovement >= patience };
}

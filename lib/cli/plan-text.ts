import { duration } from '../progress.js';
import { describeInvalidation } from '../specialize/invalidation.js';
import type { RunPlan, StagePlan } from '../specialize/plan.js';
import type { Estimate } from '../specialize/stage-runner.js';

/** A plan for people: a line a stage, what would be lost, and the sums. */
export function describePlan(plan: RunPlan<string>): string {
  const width = Math.max(...plan.stages.map(({ stage }) => stage.length));
  const lines = plan.stages.map((one) => `${one.stage.padEnd(width)}  ${describeStage(one)}`);
  const lost = plan.invalidated.map((one) => `lost without --yes: ${describeInvalidation(one)}`);
  return [`${plan.directory}: nothing was done`, ...lines, ...lost, describeSums(plan)].join('\n');
}

function describeStage({ state, reason, estimate, seconds }: StagePlan<string>): string {
  if (state === 'reused') return `done before, in ${duration(seconds ?? 0)}`;
  const what = { continued: 'goes on', invalidated: 'is done again', new: 'to do' }[state];
  return [`${what}: ${amounts(estimate!)}`, reason].filter(Boolean).join('; ');
}

function amounts({ count, unit, tokens, seconds, cost }: Estimate): string {
  const parts = [`${count === 0 ? 'no' : count.toLocaleString('en')} ${unit}`];
  if (tokens !== undefined) parts.push(`${rounded(tokens)} tokens`);
  if (seconds !== undefined) parts.push(`about ${duration(seconds)}`);
  if (cost !== undefined) parts.push(`cost ${cost.toFixed(2)}`);
  return parts.join(', ');
}

function describeSums({ stages, tokens, seconds, cost }: RunPlan<string>): string {
  if (stages.every(({ state }) => state === 'reused')) return 'Everything is done.';
  const paid = cost === undefined ? '' : `, cost ${cost.toFixed(2)}`;
  return (
    `At most ${rounded(tokens)} tokens in about ${duration(seconds)}${paid}: all epochs are counted, early stopping ends ` +
    'most runs sooner. The time is that of the model on this machine as it is now; searches and servers come on top.'
  );
}

/** Two digits are as many as an estimate has. */
function rounded(tokens: number): string {
  return Number(tokens.toPrecision(2)).toLocaleString('en');
}

import type { GroupChange } from '../evaluation/differences.js';
import { signed } from '../specialize/verdict.js';
import type { RunFacts } from './facts.js';
import { lostTo } from './funnel.js';
import { plain } from './html.js';

/** A sentence or two for people who do not read tables. */
export interface Finding {
  /** Whether it is good news, bad news, or neither. */
  tone: 'good' | 'bad' | 'neutral';
  title: string;
  text: string;
}

/** What a run shows, in plain language: is the gain real, how large, on which queries, and what to try next. */
export function findingsOf(facts: RunFacts): Finding[] {
  return [...verdictFinding(facts), ...sizeFinding(facts), ...groupFinding(facts), ...guardFindings(facts)];
}

/** What to try next, each with the reason that the run gives for it. */
export function adviceOf(facts: RunFacts): string[] {
  return [
    ...offerAdvice(facts),
    ...testSetAdvice(facts),
    ...powerAdvice(facts),
    ...trainingAdvice(facts),
    ...funnelAdvice(facts),
  ];
}

function verdictFinding({ promotion }: RunFacts): Finding[] {
  if (!promotion) return [];
  const { verdict, on } = promotion;
  const where = on === 'test' ? 'on queries that it never saw' : 'on held-out written queries';
  const chance = verdict.p < 0.0001 ? 'less than 1 in 10,000' : `about ${(verdict.p * 100).toPrecision(2)} %`;
  if (verdict.outcome === 'better') {
    return [
      {
        tone: 'good',
        title: 'The gain is real.',
        text: `The trained model ranks better than the base ${where}. Were both equally good, a difference this large would come about by chance in ${chance} of such comparisons.`,
      },
    ];
  }
  if (verdict.outcome === 'worse') {
    return [
      {
        tone: 'bad',
        title: 'Training made the model worse.',
        text: `The trained model ranks worse than the base ${where}, by more than chance explains (${chance}). The run recommends the base.`,
      },
    ];
  }
  return [
    {
      tone: 'neutral',
      title: 'No difference is shown.',
      text: `The trained model is not clearly better or worse ${where}: were both equally good, a difference like this one would come about by chance in ${chance} of such comparisons. The run recommends the base.`,
    },
  ];
}

function sizeFinding({ evaluation }: RunFacts): Finding[] {
  const first = evaluation?.comparison.differences[0];
  if (!first) return [];
  const { measure, base, value, difference, interval, wins, ties, losses, queries } = first;
  const relative = base > 0 ? ` (${signedPercent(difference / base)} of the base's)` : '';
  const per100 = (count: number) => Math.round((100 * count) / queries);
  return [
    {
      tone: interval.low > 0 ? 'good' : interval.high < 0 ? 'bad' : 'neutral',
      title: `${measure} went from ${base.toFixed(4)} to ${value.toFixed(4)}.`,
      text:
        `That is ${signed(difference)}${relative}; the plausible range is ${signed(interval.low)} to ${signed(interval.high)}. ` +
        `Of 100 queries, ${per100(wins)} got better results, ${per100(losses)} worse, and ${per100(ties)} stayed as they were.`,
    },
  ];
}

function groupFinding({ evaluation }: RunFacts): Finding[] {
  const groups = evaluation?.comparison.differences[0]?.groups ?? [];
  if (groups.length < 2) return [];
  const gained = groups.filter(({ interval }) => interval.low > 0).sort((a, b) => b.difference - a.difference);
  const lost = groups.filter(({ interval }) => interval.high < 0).sort((a, b) => a.difference - b.difference);
  const parts = [
    gained.length > 0 ? `Gains that the intervals support: ${groupNames(gained)}.` : '',
    lost.length > 0 ? `Losses that the intervals support: ${groupNames(lost)}.` : '',
  ].filter(Boolean);
  const text = parts.length > 0 ? parts.join(' ') : 'No kind of query stands out: every group’s interval holds 0.';
  const tone = lost.length > 0 ? 'bad' : gained.length > 0 ? 'good' : 'neutral';
  return [{ tone, title: 'By kind of query.', text: `${text} Groups are small, so take this as a hint.` }];
}

/** Groups that are named; a table has all of them. */
const NAMED_GROUPS = 6;

function groupNames(groups: readonly GroupChange[]): string {
  const named = groups.slice(0, NAMED_GROUPS);
  const names = named.map(({ group, difference }) => `“${plain(group)}” (${signed(difference)})`).join(', ');
  const more = groups.length - named.length;
  return more > 0 ? `${names} and ${more} more` : names;
}

function guardFindings({ promotion }: RunFacts): Finding[] {
  if (!promotion) return [];
  const { guards, skippedGuards = [] } = promotion;
  const found = guards.map(
    ({ name, measure, difference, allowedLoss, holds }): Finding => ({
      tone: holds ? 'good' : 'bad',
      title: holds
        ? `Other searches did not suffer (${shortName(name)}).`
        : `It forgot something (${shortName(name)}).`,
      text: `${measure} changed by ${signed(difference)} on this guard set, where a loss of ${allowedLoss} is allowed.`,
    }),
  );
  if (skippedGuards.length === 0) return found;
  const names = skippedGuards.map((guard) => plain(shortName(guard))).join(', ');
  const text = 'The trained model was out already, so it was not tried on the guard sets: what it forgot is not known.';
  return [...found, { tone: 'neutral', title: `Other searches were not looked at (${names}).`, text }];
}

function testSetAdvice({ evaluation }: RunFacts): string[] {
  if (evaluation?.on !== 'dev') return [];
  return [
    'Collect queries of real people with the passages that answer them, some 100 or more, and give them with --data: ' +
      'written queries are easier than those, and training stopped by them.',
  ];
}

/** Queries at which a difference as large as this one would be seen in four of five such tests, at p < 0.05. */
function powerAdvice({ promotion, points }: RunFacts): string[] {
  if (promotion?.verdict.outcome !== 'undecided' || points.length < 10) return [];
  const differences = points.map(({ base, trained }) => trained - base);
  const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
  const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (differences.length - 1);
  if (mean <= 0) return [];
  const needed = Math.ceil(((1.96 + 0.84) ** 2 * variance) / mean ** 2);
  if (needed <= points.length || needed > 1e6) return [];
  return [
    `If the true gain is as large as the one measured, about ${needed.toLocaleString('en')} test queries would show it ` +
      `in four of five tests; there are ${points.length}.`,
  ];
}

function trainingAdvice({ evaluations, stages }: RunFacts): string[] {
  const best = evaluations.findLast(({ isBest }) => isBest);
  const last = evaluations.at(-1);
  if (!best || !last || evaluations.length < 2) return [];
  const counts = stages.find(({ name }) => name === 'training')?.counts as { stopped?: string } | undefined;
  if (best.step === 0) {
    return [
      'The dev loss never fell below the base model’s: try a lower learning rate, or better queries and teacher.',
    ];
  }
  if (best === last && counts?.stopped !== 'patience') {
    return ['The dev loss was still falling when training ended: train longer (--epochs, or no --max-steps).'];
  }
  return [];
}

/** Shares of lost queries above which a filter is worth a look. */
const MANY_NOT_FOUND = 0.3;
const MANY_NOT_FIRST = 0.5;

function funnelAdvice({ funnel }: RunFacts): string[] {
  const advice: string[] = [];
  const found = lostTo(funnel, 'source rank');
  if (found.lost > MANY_NOT_FOUND * found.before) {
    advice.push(
      `The base did not find the source passage of ${percent(found.lost / found.before)} of the queries: add bm25 to ` +
        '--retrievers, or loosen --max-source-rank; these are queries to learn from.',
    );
  }
  const first = lostTo(funnel, 'source not first');
  if (first.lost > MANY_NOT_FIRST * first.before) {
    advice.push(
      `The teacher put another passage before the source for ${percent(first.lost / first.before)} of the queries: look ` +
        'at dropped.jsonl whether queries are vague, passages repeat, or the teacher is weak here.',
    );
  }
  return advice;
}

function offerAdvice({ promotion }: RunFacts): string[] {
  const offer = promotion?.offer;
  if (!offer?.directory) return [];
  const mixture = `the mixture of weights in ${offer.directory} (${percent(offer.share)} trained)`;
  return [
    offer.passes
      ? `Use ${mixture}: it passes the gate, which the trained model did not.`
      : `The best that the weights offer is ${mixture}, which does not pass the gate either; lower --learning-rate to stay nearer to the base.`,
  ];
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function signedPercent(share: number): string {
  return `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(1)} %`;
}

/** The last part of a path. */
export function shortName(path: string): string {
  return path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;
}

import { holm } from '../evaluation/statistics.js';
import { signed } from '../specialize/verdict.js';
import type { Contrast } from './results.js';

/** What the corpus says about one of the papers' findings. */
export type Outcome = 'holds' | 'does not hold' | 'cannot tell' | 'not studied';

export interface StudyFinding {
  /** In the order in which the documentation lists them, from 1. */
  number: number;
  /** What the papers say. */
  claim: string;
  outcome: Outcome;
  /** What this corpus shows, in sentences with the figures. */
  text: string;
  /** The rule by which the outcome was decided. */
  rule: string;
}

export interface FindingOptions {
  /** The measure that decides. */
  measure: string;
  /** Of Holm's test where several comparisons could each refute a claim. */
  significance: number;
  /** See StudyOptions. */
  equalWithin: number;
  /** Variants that kept the base's weights, as their dev loss never fell: they say nothing of training. */
  untrained: readonly string[];
}

/** A pair of systems by name, or undefined where one of them was not studied. */
export type FindContrast = (base: string, other: string) => Contrast | undefined;

/** What the study says about each of the papers' four findings, by rules that do not depend on the figures. */
export function findingsOf(contrasts: readonly Contrast[], options: FindingOptions): StudyFinding[] {
  const find: FindContrast = (base, other) => contrasts.find((one) => one.base === base && one.other === other);
  return [
    unlessUntrained(infonceFinding(find), options, ['infonce']),
    unlessUntrained(listwiseFinding(find), options, ['both']),
    unlessUntrained(typesFinding(contrasts, options), options, [
      'mixed',
      ...contrasts.map(({ base }) => base).filter(isSingle),
    ]),
    unlessUntrained(sourcesFinding(find, options), options, ['human', 'written']),
  ];
}

const isSingle = (name: string) => name.startsWith('only-');

/** Variants whose weights are still the base's cannot show what training does, whatever the figures look like. */
function unlessUntrained(
  finding: StudyFinding,
  { untrained }: FindingOptions,
  needed: readonly string[],
): StudyFinding {
  const names = needed.filter((name) => untrained.includes(name));
  if (finding.outcome === 'not studied' || names.length === 0) return finding;
  const text =
    `${names.join(', ')} kept the base's weights, for the loss on dev never fell below the base's: train longer, at ` +
    `another rate, or without dev lists (devShare 0), which keeps the last weights. ${finding.text}`;
  return { ...finding, outcome: 'cannot tell', text };
}

function infonceFinding(find: FindContrast): StudyFinding {
  const against = find('base', 'infonce');
  const facts = {
    number: 1,
    claim: 'Training by InfoNCE alone often makes a strong model worse than it was.',
    rule: 'Holds where the whole interval of "InfoNCE only" minus base lies below 0, does not hold where it lies above 0.',
  };
  if (!against) return notStudied(facts);
  const outcome = against.interval.high < 0 ? 'holds' : against.interval.low > 0 ? 'does not hold' : 'cannot tell';
  const verdict = {
    holds: 'Here it did',
    'does not hold': 'Here it made the model better',
    'cannot tell': 'Here neither a loss nor a gain is shown',
  }[outcome];
  return { ...facts, outcome, text: `${verdict}: ${inFigures(against)}.` };
}

function listwiseFinding(find: FindContrast): StudyFinding {
  const against = find('base', 'both');
  const facts = {
    number: 2,
    claim: 'Listwise distillation with a little InfoNCE makes the model better.',
    rule: 'Holds where the whole interval of both losses minus base lies above 0, does not hold where it lies below 0.',
  };
  if (!against) return notStudied(facts);
  const outcome = against.interval.low > 0 ? 'holds' : against.interval.high < 0 ? 'does not hold' : 'cannot tell';
  const verdict = {
    holds: 'Here it did',
    'does not hold': 'Here it made the model worse',
    'cannot tell': 'Here neither a gain nor a loss is shown',
  }[outcome];
  const beside = [find('infonce', 'both'), find('listwise', 'both')].filter((one) => one !== undefined);
  const more = beside.map((one) => ` Both losses against ${one.baseLabel}: ${inFigures(one)}.`).join('');
  return { ...facts, outcome, text: `${verdict}: ${inFigures(against)}.${more}` };
}

/** To hold it must win everywhere, which needs no correction; to fail it need lose only once, which does. */
function typesFinding(contrasts: readonly Contrast[], { significance }: FindingOptions): StudyFinding {
  const against = contrasts.filter(({ base, other }) => isSingle(base) && other === 'mixed');
  const facts = {
    number: 3,
    claim: 'Queries of several types together train better than those of any single type.',
    rule:
      'At equal numbers of lists: holds where the intervals of the mixture minus each single type all lie above 0; does not ' +
      "hold where a single type is better by the randomisation test after Holm's correction over the types.",
  };
  if (against.length === 0) return notStudied(facts);
  const corrected = holm(against.map(({ p }) => p));
  const wins = against.filter(({ interval }) => interval.low > 0);
  const losses = against.filter(({ difference }, i) => difference < 0 && corrected[i]! < significance);
  const outcome = wins.length === against.length ? 'holds' : losses.length > 0 ? 'does not hold' : 'cannot tell';
  const ahead = against.filter(({ difference }) => difference > 0).length;
  const text =
    `The mixture is ahead of ${ahead} of ${against.length} single types, by the interval surely of ${wins.length}` +
    `${losses.length > 0 ? `, and surely behind ${losses.map(({ baseLabel }) => baseLabel).join(', ')}` : ''}. ` +
    `${against.map((one) => `Against ${one.baseLabel}: ${inFigures(one)}`).join('. ')}.`;
  return { ...facts, outcome, text };
}

/** That two are about equal is shown by an interval that leaves no room for a loss that matters. */
function sourcesFinding(find: FindContrast, { equalWithin, measure }: FindingOptions): StudyFinding {
  const against = find('human', 'written');
  const facts = {
    number: 4,
    claim: "Written queries train about as well as people's.",
    rule:
      `At equal numbers of lists: holds where the whole interval of written minus human lies above −${equalWithin} ` +
      `${measure}, does not hold where it lies below 0 and reaches below −${equalWithin}.`,
  };
  if (!against) return notStudied(facts);
  const { low, high } = against.interval;
  const outcome = low > -equalWithin ? 'holds' : high < 0 ? 'does not hold' : 'cannot tell';
  const verdict = {
    holds: low > 0 ? 'Here they train better' : 'Here they do',
    'does not hold': 'Here they train worse',
    'cannot tell': `Here a loss of more than ${equalWithin} cannot be ruled out, nor is a loss shown`,
  }[outcome];
  const more = find('human', 'human-and-written');
  const both = more ? ` All of both against human: ${inFigures(more)}.` : '';
  return { ...facts, outcome, text: `${verdict}: ${inFigures(against)}.${both}` };
}

function notStudied(facts: Pick<StudyFinding, 'number' | 'claim' | 'rule'>): StudyFinding {
  return { ...facts, outcome: 'not studied', text: 'The variants that this would need were not part of the study.' };
}

/** '0.6400 to 0.6520, +0.0120 (95 % interval +0.0010 to +0.0230, p = 0.0312)' */
function inFigures({ measure, before, after, difference, interval, p, confidence }: Contrast): string {
  const range = `${Number((100 * confidence).toFixed(3))} % interval ${signed(interval.low)} to ${signed(interval.high)}`;
  const chance = p < 0.0001 ? 'p < 0.0001' : `p = ${p.toFixed(4)}`;
  return `${measure} from ${before.toFixed(4)} to ${after.toFixed(4)}, ${signed(difference)} (${range}, ${chance})`;
}

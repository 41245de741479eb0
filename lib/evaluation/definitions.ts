import type { GradedRanking, TieBreaking } from './ranking.js';

/** What a measure's formula gets beside the ranking. */
export interface MeasureParameters {
  /** Ranks that count; Infinity for all. */
  cutoff: number;
  /** Lowest grade that counts as relevant. */
  relevanceLevel: number;
}

/** One measure: its name, what it takes, and its value for one query, in [0, 1]. */
export interface MeasureDefinition {
  name: string;
  aliases: string[];
  /** Whether `@k` must, may or must not follow the name. */
  cutoff: 'required' | 'optional' | 'none';
  parameters: ('rel' | 'judged_only')[];
  /** Which order of equal scores it uses, given whether there is a cut-off. */
  ties: (hasCutoff: boolean) => TieBreaking;
  compute: (ranking: GradedRanking, parameters: MeasureParameters) => number;
}

const asTrecEval = (): TieBreaking => 'trec_eval';

/**
 * The measures, each defined once. They are trec_eval's: a query without relevant passages has 0, and grades below
 * the relevance level count as not relevant. `RR@k` and `Judged@k`, which trec_eval lacks, are ir_measures'; they
 * differ in the order of equal scores.
 */
export const definitions: readonly MeasureDefinition[] = [
  {
    name: 'nDCG',
    aliases: ['NDCG'],
    cutoff: 'optional',
    parameters: ['judged_only'],
    ties: asTrecEval,
    compute: ndcg,
  },
  {
    name: 'R',
    aliases: ['Recall'],
    cutoff: 'required',
    parameters: ['rel', 'judged_only'],
    ties: asTrecEval,
    compute: recall,
  },
  {
    name: 'RR',
    aliases: ['MRR'],
    cutoff: 'optional',
    parameters: ['rel', 'judged_only'],
    ties: (hasCutoff) => (hasCutoff ? 'ids-ascending' : 'trec_eval'),
    compute: reciprocalRank,
  },
  {
    name: 'AP',
    aliases: ['MAP'],
    cutoff: 'optional',
    parameters: ['rel', 'judged_only'],
    ties: asTrecEval,
    compute: averagePrecision,
  },
  {
    name: 'P',
    aliases: ['Precision'],
    cutoff: 'required',
    parameters: ['rel', 'judged_only'],
    ties: asTrecEval,
    compute: (ranking, { cutoff, relevanceLevel }) => relevantWithin(ranking, cutoff, relevanceLevel) / cutoff,
  },
  {
    name: 'Success',
    aliases: [],
    cutoff: 'required',
    parameters: ['rel', 'judged_only'],
    ties: asTrecEval,
    compute: (ranking, { cutoff, relevanceLevel }) => Number(relevantWithin(ranking, cutoff, relevanceLevel) > 0),
  },
  {
    name: 'Rprec',
    aliases: ['RPrec'],
    cutoff: 'none',
    parameters: ['rel', 'judged_only'],
    ties: asTrecEval,
    compute: (ranking, { relevanceLevel }) =>
      recall(ranking, { cutoff: relevantInAll(ranking, relevanceLevel), relevanceLevel }),
  },
  {
    name: 'Judged',
    aliases: [],
    cutoff: 'optional',
    parameters: [],
    ties: () => 'ids-ascending',
    compute: judgedShare,
  },
];

/**
 * Normalised discounted cumulative gain: Σ grade / log2(rank + 1) over the first k ranks, divided by that of the best
 * possible ranking.
 * @see Järvelin and Kekäläinen 2002, Cumulated Gain-Based Evaluation of IR Techniques, TOIS 20(4)
 */
function ndcg({ grades, ideal }: GradedRanking, { cutoff }: MeasureParameters): number {
  const best = discountedGain(ideal, cutoff);
  return best > 0 ? discountedGain(grades, cutoff) / best : 0;
}

function discountedGain(grades: number[], cutoff: number): number {
  let gain = 0;
  const depth = Math.min(cutoff, grades.length);
  for (let i = 0; i < depth; i++) {
    const grade = grades[i] as number;
    if (grade > 0) gain += grade / Math.log2(i + 2);
  }
  return gain;
}

/** The share of the relevant passages that stand in the first k ranks. */
function recall(ranking: GradedRanking, { cutoff, relevanceLevel }: MeasureParameters): number {
  const relevant = relevantInAll(ranking, relevanceLevel);
  return relevant > 0 ? relevantWithin(ranking, cutoff, relevanceLevel) / relevant : 0;
}

/** One over the rank of the first relevant passage, 0 if none stands in the first k ranks. */
function reciprocalRank({ grades }: GradedRanking, { cutoff, relevanceLevel }: MeasureParameters): number {
  const first = grades.findIndex((grade) => grade >= relevanceLevel);
  return first >= 0 && first < cutoff ? 1 / (first + 1) : 0;
}

/**
 * The precision at each relevant passage in the first k ranks, summed, divided by the number of relevant passages
 * whether found or not.
 */
function averagePrecision(ranking: GradedRanking, { cutoff, relevanceLevel }: MeasureParameters): number {
  const { grades } = ranking;
  let found = 0;
  let sum = 0;
  const depth = Math.min(cutoff, grades.length);
  for (let i = 0; i < depth; i++) {
    if ((grades[i] as number) < relevanceLevel) continue;
    found += 1;
    sum += found / (i + 1);
  }
  return found > 0 ? sum / relevantInAll(ranking, relevanceLevel) : 0;
}

/** The share of the first k results, or of all where there are fewer, that are judged at all. */
function judgedShare({ judged }: GradedRanking, { cutoff }: MeasureParameters): number {
  const depth = Math.min(cutoff, judged.length);
  return depth > 0 ? judged.slice(0, depth).filter(Boolean).length / depth : 0;
}

function relevantWithin({ grades }: GradedRanking, cutoff: number, relevanceLevel: number): number {
  const depth = Math.min(cutoff, grades.length);
  let count = 0;
  for (let i = 0; i < depth; i++) if ((grades[i] as number) >= relevanceLevel) count += 1;
  return count;
}

function relevantInAll({ ideal }: GradedRanking, relevanceLevel: number): number {
  return ideal.filter((grade) => grade >= relevanceLevel).length;
}

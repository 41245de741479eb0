import { InvalidArgumentError } from '../errors.js';
import { parseMeasures } from '../evaluation/measures.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { OnInvalidate } from '../specialize/invalidation.js';
import {
  type SettledOptions,
  type SpecializeOptions,
  settleSpecializeOptions,
  specializeOptionNames,
} from '../specialize/options.js';
import type { StageEvent } from '../specialize/stage-runner.js';

/** What specialize takes and a study has no use for: its gate, and where it stops. */
const NOT_OURS = ['by', 'guards', 'guardLoss', 'mixingShares', 'significanceTest', 'until'] as const;
const OWN = ['variants', 'seeds', 'listsPerType', 'devLists', 'equalWithin'] as const;

/**
 * What study takes: what specialize takes, but for its gate. Options of training hold for all variants alike;
 * `listwiseWeight` and `contrastiveWeight` are those of the variants that are trained by both losses.
 */
export interface StudyOptions
  extends Omit<SpecializeOptions, (typeof NOT_OURS)[number] | 'data' | 'onInvalidate' | 'onStage'> {
  /** The test set, which all variants are compared on: queries that people judged, in BEIR's layout. */
  data: string;
  /**
   * Names of variants ('infonce', 'only-claim', ...) or tables ('losses', 'types', 'sources') to do, perhaps several in
   * one text with commas between. Default all that the queries allow.
   */
  variants?: readonly string[];
  /**
   * Each variant is trained once with each of these: they decide the order of training and which lists are drawn.
   * A query's measures are then the means over the seeds. Default [seed].
   */
  seeds?: readonly number[];
  /**
   * Lists to train on of each variant that compares types of queries; types that have fewer are left out. Default as
   * many as the type with the fewest has.
   */
  listsPerType?: number;
  /** Most dev lists of a variant, a seeded sample, since evaluating on them takes time. Default all. */
  devLists?: number;
  /**
   * Written queries count as training about as well as people's if, by the interval, they lose no more than this of the
   * first measure. Default 0.02.
   */
  equalWithin?: number;
  /** Measures by ir_measures' names; the first decides the findings. Default nDCG@10 and R@100. */
  measures?: readonly string[];
  /** A smaller p counts as significant; intervals are those of 1 minus it. Default 0.05. */
  significance?: number;
  /** Hears which work of earlier runs in `output` would be lost, before it is; see SpecializeOptions. */
  onInvalidate?: OnInvalidate<string>;
  /** Hears what becomes of each stage, those of the variants included. */
  onStage?: (event: StageEvent<string>) => void;
}

/** Names of StudyOptions, for refusing others. */
export const studyOptionNames: readonly string[] = [
  ...specializeOptionNames.filter((name) => !(NOT_OURS as readonly string[]).includes(name)),
  ...OWN,
];

/** Options with every default filled in. */
export interface SettledStudy {
  /** Of the shared stages and of every training. */
  run: SettledOptions;
  /** As the user named them. */
  variants: readonly string[] | undefined;
  seeds: readonly number[];
  listsPerType: number | undefined;
  devLists: number | undefined;
  equalWithin: number;
  measures: readonly string[];
  onInvalidate: OnInvalidate<string> | undefined;
  onStage: ((event: StageEvent<string>) => void) | undefined;
}

/**
 * Fills in defaults and checks what can be checked before any work.
 * @throws InvalidArgumentError or ListwiseError INVALID_ARGUMENT naming the first option that is unknown or cannot be
 */
export function settleStudyOptions(given: StudyOptions): SettledStudy {
  rejectUnknownOptions(given, studyOptionNames, 'study');
  const { variants, seeds, listsPerType, devLists, equalWithin = 0.02, onInvalidate, onStage, ...rest } = given;
  const { measures = ['nDCG@10', 'R@100'] } = given;
  const run = settleSpecializeOptions({ ...rest, measures, until: 'lists' });
  if (run.data === undefined) {
    throw new InvalidArgumentError('data', 'a test set of queries that people judged', undefined);
  }
  checkWeights(run);
  checkCount('listsPerType', listsPerType);
  checkCount('devLists', devLists);
  if (!(equalWithin >= 0 && equalWithin <= 1)) {
    throw new InvalidArgumentError('equalWithin', 'a number from 0 to 1', equalWithin);
  }
  return {
    ...{ run, listsPerType, devLists, equalWithin, onInvalidate, onStage },
    variants: settleNames(variants),
    seeds: settleSeeds(seeds ?? [run.seed]),
    measures: parseMeasures(measures).map(({ name }) => name),
  };
}

/** A variant is trained by both losses, so both need a weight. */
function checkWeights(options: SettledOptions): void {
  for (const name of ['listwiseWeight', 'contrastiveWeight'] as const) {
    if (options[name] === 0) {
      throw new InvalidArgumentError(name, 'a number above 0', 0, 'the study itself trains by either loss alone');
    }
  }
}

function checkCount(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isInteger(value) && value >= 2)) return;
  throw new InvalidArgumentError(name, 'a whole number of at least 2', value);
}

function settleNames(variants: readonly string[] | undefined): readonly string[] | undefined {
  if (variants === undefined) return undefined;
  if (!Array.isArray(variants) || !variants.every((name) => typeof name === 'string')) {
    throw new InvalidArgumentError('variants', 'an array of names', variants);
  }
  const names = variants.flatMap((name) => name.split(',')).map((name) => name.trim());
  if (names.length > 0 && names.every((name) => name !== '')) return names;
  throw new InvalidArgumentError('variants', 'at least one name, and none that is empty,', variants.join(' '));
}

function settleSeeds(seeds: readonly number[]): readonly number[] {
  if (!Array.isArray(seeds) || seeds.length === 0 || !seeds.every(Number.isSafeInteger)) {
    const shown: unknown = Array.isArray(seeds) && seeds.length > 0 ? seeds.join(', ') : seeds;
    throw new InvalidArgumentError('seeds', 'an array of whole numbers', shown);
  }
  if (new Set(seeds).size === seeds.length) return seeds;
  throw new InvalidArgumentError('seeds', 'each seed once', seeds.join(', '));
}

import { InvalidArgumentError } from '../errors.js';
import type { ModelOptions } from '../models/model.js';
import type { LossOptions } from '../native.js';
import type { OptionNeed } from '../option-names.js';
import type { Batching } from './batches.js';
import type { StepRecord } from './log.js';
import {
  COUNT,
  NOT_NEGATIVE,
  type NumberCheck,
  POSITIVE,
  type Resume,
  RUN_CHECKS,
  RUN_DEFAULTS,
  type RunNumbers,
  type RunOptions,
  runOptionNames,
  settleRunOptions,
  undecisiveRunOptions,
} from './run-options.js';

/**
 * What trainListwise takes. Only `model` (in sentence-transformers' layout), `lists` and `output` must be given, and
 * `corpus` where lists name ids only. Defaults: 30 `epochs`, `batchSize` 4,096, `learningRate` 2e-4.
 */
export interface TrainingOptions
  extends RunOptions,
    Partial<TrainingNumbers>,
    Partial<Omit<LossOptions, 'teacherTemperature'>>,
    Pick<ModelOptions, 'pooling' | 'queryPrefix' | 'passagePrefix'> {
  /**
   * Temperature of the teacher's softmax. 'match', the default, chooses it once, before training, so that the teacher's
   * distributions are on average as sharp as the base model's.
   */
  teacherTemperature?: 'match' | number;
  /**
   * A directory in BEIR's layout with queries that people judged. With it, each evaluation on dev also measures nDCG@10
   * on some of them, against their judged passages and sampled others. It must not be the test set.
   */
  devData?: string;
  /** What early stopping and the choice of the weights go by: the losses on `dev`, or nDCG@10 on `devData`. Default 'loss'. */
  chooseBy?: ChooseBy;
  /** Which judgements of `devData`. Default 'dev'. */
  devSplit?: string;
  /** Longest query and passage in tokens, special tokens included. Defaults 64 and 512, or the model's own if less. */
  queryMaxLength?: number;
  passageMaxLength?: number;
  /** Called after each step with what log.jsonl gets. */
  onStep?(step: StepRecord): void;
}

export type ChooseBy = 'loss' | 'nDCG@10';

/** Options of trainListwise alone that are numbers with a default. */
export interface TrainingNumbers {
  /** Most lists that 'match' looks at: all, or a seeded sample where there are more. Default 4,096. */
  temperatureLists: number;
  /** Queries of `devData` that are evaluated, a seeded sample. Default 200. */
  devQueries: number;
  /** Passages beside the judged ones that they are searched in, a seeded sample. Default 2,000. */
  devDistractors: number;
}

/** Options with every default filled in; `teacherTemperature` may still be 'match'. */
export type SettledOptions = TrainingOptions &
  TrainingNumbers &
  Omit<RunNumbers, 'keepBytes' | 'tokenBudget'> &
  Omit<LossOptions, 'teacherTemperature'> & {
    teacherTemperature: 'match' | number;
    batching: Batching;
    resume: Resume;
  };

/** What options are where they are not given. */
export const TRAINING_DEFAULTS = {
  ...RUN_DEFAULTS,
  epochs: 30,
  batchSize: 4096,
  learningRate: 2e-4,
  temperatureLists: 4096,
  devQueries: 200,
  devDistractors: 2000,
  devSplit: 'dev',
  chooseBy: 'loss' as const,
  studentTemperature: 0.05,
  teacherTemperature: 'match' as const,
  contrastiveTemperature: 0.01,
  contrastiveWeight: 0.1,
  listwiseWeight: 1,
  maskThreshold: 0.6,
};

const CHECKS: Readonly<Record<string, NumberCheck>> = {
  ...RUN_CHECKS,
  queryMaxLength: COUNT,
  passageMaxLength: COUNT,
  temperatureLists: COUNT,
  studentTemperature: POSITIVE,
  teacherTemperature: ["'match' or a number above 0", POSITIVE[1], 'match'],
  contrastiveTemperature: POSITIVE,
  contrastiveWeight: NOT_NEGATIVE,
  listwiseWeight: NOT_NEGATIVE,
  maskThreshold: NOT_NEGATIVE,
  devQueries: COUNT,
  devDistractors: COUNT,
};

/** The names of all options of trainListwise. */
export const trainingOptionNames: readonly string[] = [
  ...new Set([
    ...runOptionNames,
    ...Object.keys(CHECKS),
    ...['devData', 'devSplit', 'chooseBy', 'pooling', 'queryPrefix', 'passagePrefix'],
  ]),
];

/** Options of devData's, which nothing reads without it. */
export const DEV_DATA_NEED: OptionNeed<
  Pick<TrainingOptions, 'devData' | 'devSplit' | 'devQueries' | 'devDistractors'>
> = {
  options: ['devSplit', 'devQueries', 'devDistractors'],
  needs: 'queries that people judged (devData)',
  isThere: ({ devData }) => devData !== undefined,
};

/** Training alone looks at no lists for a temperature that is given. */
export const TEMPERATURE_NEED: OptionNeed<Pick<TrainingOptions, 'teacherTemperature' | 'temperatureLists'>> = {
  options: ['temperatureLists'],
  needs: "'match' as the teacherTemperature",
  isThere: ({ teacherTemperature = 'match' }) => teacherTemperature === 'match',
};

/** Options that say where, how safely and how fast, but not what: they change a result by rounding at most. */
export const undecisiveOptions: readonly string[] = [...undecisiveRunOptions, 'devData', 'devSplit'];

/**
 * Fills in defaults and checks values.
 * @throws InvalidArgumentError naming the first option that is unknown or cannot be
 */
export function settleOptions(given: TrainingOptions): SettledOptions {
  const kind = { caller: 'trainListwise', names: trainingOptionNames, defaults: TRAINING_DEFAULTS, checks: CHECKS };
  const options: SettledOptions = settleRunOptions(given, kind);
  checkHumanDev(options);
  if (options.contrastiveWeight === 0 && options.listwiseWeight === 0) {
    throw new InvalidArgumentError('listwiseWeight', 'a number above 0 where contrastiveWeight is 0', 0);
  }
  return options;
}

function checkHumanDev({ devData, devSplit, chooseBy }: SettledOptions): void {
  for (const [name, value] of Object.entries({ devData, devSplit })) {
    if (value === undefined || (typeof value === 'string' && value !== '')) continue;
    throw new InvalidArgumentError(name, name === 'devData' ? 'a directory' : 'a name', value);
  }
  if (chooseBy !== 'loss' && chooseBy !== 'nDCG@10') {
    throw new InvalidArgumentError('chooseBy', "'loss' or 'nDCG@10'", chooseBy);
  }
  if (chooseBy === 'nDCG@10' && devData === undefined) {
    throw new InvalidArgumentError('devData', "queries that people judged, as chooseBy is 'nDCG@10',", devData);
  }
}

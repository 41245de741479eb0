import { InvalidArgumentError } from '../errors.js';
import type { ModelOptions } from '../models/model.js';
import type { LossOptions } from '../native.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { LongWork } from '../types.js';
import type { Batching } from './batches.js';
import type { StepRecord } from './log.js';
import { parseMemorySize } from './memory-size.js';
import type { EarlierRun, TrainingEvent } from './run-start.js';
import type { SourceOptions } from './sources.js';

/** What trainListwise takes. Only `model`, `lists` and `output` must be given, and `corpus` where lists name ids only. */
export interface TrainingOptions
  extends LongWork,
    Partial<TrainingNumbers>,
    Partial<Omit<LossOptions, 'teacherTemperature'>>,
    Pick<ModelOptions, 'device' | 'precision' | 'pooling' | 'queryPrefix' | 'passagePrefix' | 'revision'> {
  /** The model to start from: a directory in sentence-transformers' layout or a Hub name. */
  model: string;
  /**
   * Lists to train on: a file (see readLists) or an array. Several sets are an array of files or of sources; each batch
   * is then of one set, and they take turns in proportion to their sizes.
   */
  lists: SourceOptions['lists'];
  /**
   * Lists to stop and to choose by; without them the run goes to its end and the last weights are kept. As many files as
   * `lists` has, where that is several.
   */
  dev?: SourceOptions['dev'];
  /**
   * Where passages without a text of their own are looked up: what loadCorpus takes, or a Map. One for all sets, or as
   * many paths as `lists` has files.
   */
  corpus?: SourceOptions['corpus'];
  /** Directory for log.jsonl, training.json and model/. Another run that is there is not replaced by itself: see `resume`. */
  output: string;
  /** Passages used of each list, from its front. Default all, and then all lists must have as many. */
  listLength?: number;
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
  /** Steps of the warm-up. Default max(10, half an epoch's steps). */
  warmupSteps?: number;
  /** Stop after this many steps; the schedule ends there too. Default none: all epochs. */
  maxSteps?: number;
  /** Steps between evaluations on dev. Default an epoch's. */
  evaluateEvery?: number;
  /** Longest query and passage in tokens, special tokens included. Defaults 64 and 512, or the model's most if less. */
  queryMaxLength?: number;
  passageMaxLength?: number;
  /** 'random' shuffles each epoch; 'clustered' puts lists that share passages into one batch. Default 'random'. */
  batching?: Batching;
  /**
   * Most memory that the run may take, of the GPU where it computes on one: bytes, or a text such as '8GB'. A step is
   * planned to fit. Default 70 % of what is free at each step (90 % on a GPU).
   */
  maxMemory?: number | string;
  /** Steps between checkpoints, beside those at each epoch's end. Default: ten minutes and an epoch's end. */
  checkpointEvery?: number;
  /**
   * What to do with a run in `output`. 'auto', the default: go on with an unfinished one whose options, lists, texts and
   * model are the same, give the result again of a finished one; where another is there, `onReplace` decides. 'must': go
   * on or reject. 'never': start anew, whatever is there.
   */
  resume?: Resume;
  /**
   * Hears of another run in `output`, before anything of it is lost; unless it returns true, training does not start
   * (NOT_CONFIRMED). Default: it never returns true.
   */
  onReplace?: (earlier: EarlierRun) => boolean | Promise<boolean>;
  /** Called after each step with what log.jsonl gets. */
  onStep?: (step: StepRecord) => void;
  /** Hears that the run goes on from a checkpoint, or why it does not. */
  onEvent?: (event: TrainingEvent) => void;
}

export type ChooseBy = 'loss' | 'nDCG@10';
export type Resume = 'auto' | 'must' | 'never';

/** Options that are numbers with a default. */
export interface TrainingNumbers {
  /** Default 30. */
  epochs: number;
  /** Queries a step. Default 4,096. */
  batchSize: number;
  /** Highest learning rate. Default 2e-4. */
  learningRate: number;
  /** Share of the highest rate below which it does not fall after the warm-up. Default 0.1. */
  minimumRateShare: number;
  /** Default 0.01, on all parameters. */
  weightDecay: number;
  /** AdamW's decay of the moments and the small number of its denominator. Defaults 0.9, 0.999 and 1e-8. */
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Longest gradient; longer ones are scaled to it. 0 leaves them. Default 1. */
  clip: number;
  /** Evaluations on dev without improvement after which to stop. Default 2. */
  patience: number;
  /** Of everything random. Default 1. */
  seed: number;
  /**
   * Most tokens in one micro-batch; smaller needs less memory, and the gradient stays the same. Default 4,096 (on a GPU
   * 32,768), or less where memory is short.
   */
  tokenBudget: number;
  /**
   * Bytes of activations that a step may keep from its forward pass; what is beyond is computed a second time, with the
   * same gradient. Default what is left of the memory that the step may take (see `maxMemory`).
   */
  keepBytes: number;
  /** Most lists that 'match' looks at: all, or a seeded sample where there are more. Default 4,096. */
  temperatureLists: number;
  /** Queries of `devData` that are evaluated, a seeded sample. Default 200. */
  devQueries: number;
  /** Passages beside the judged ones that they are searched in, a seeded sample. Default 2,000. */
  devDistractors: number;
  /** Checkpoints to keep, the newest. Default 2: a damaged one is not the end. */
  keepCheckpoints: number;
}

/** Options with every default filled in; `teacherTemperature` may still be 'match'. */
export type SettledOptions = TrainingOptions &
  Omit<TrainingNumbers, 'keepBytes' | 'tokenBudget'> &
  Omit<LossOptions, 'teacherTemperature'> & {
    teacherTemperature: 'match' | number;
    batching: Batching;
    resume: Resume;
  };

/** What options are where they are not given. */
export const TRAINING_DEFAULTS = {
  epochs: 30,
  batchSize: 4096,
  learningRate: 2e-4,
  minimumRateShare: 0.1,
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  clip: 1,
  patience: 2,
  seed: 1,
  temperatureLists: 4096,
  keepCheckpoints: 2,
  devQueries: 200,
  devDistractors: 2000,
  devSplit: 'dev',
  chooseBy: 'loss' as const,
  resume: 'auto' as const,
  studentTemperature: 0.05,
  teacherTemperature: 'match' as const,
  contrastiveTemperature: 0.01,
  contrastiveWeight: 0.1,
  listwiseWeight: 1,
  maskThreshold: 0.6,
  batching: 'random' as const,
};

type NumberCheck = [expected: string, holds: (value: number) => boolean];

const COUNT: NumberCheck = ['a whole number above 0', (value) => Number.isInteger(value) && value > 0];
const COUNT_OR_NONE: NumberCheck = ['a whole number of at least 0', (value) => Number.isInteger(value) && value >= 0];
const POSITIVE: NumberCheck = ['a number above 0', (value) => value > 0 && value < Number.POSITIVE_INFINITY];
const NOT_NEGATIVE: NumberCheck = ['a number of at least 0', (value) => value >= 0 && value < Number.POSITIVE_INFINITY];
const SHARE: NumberCheck = ['a number from 0 to 1', (value) => value >= 0 && value <= 1];
const DECAY: NumberCheck = ['a number of at least 0 and below 1', (value) => value >= 0 && value < 1];

const NUMBERS: Record<string, NumberCheck> = {
  epochs: COUNT,
  batchSize: COUNT,
  listLength: ['a whole number of at least 2', (value) => Number.isInteger(value) && value >= 2],
  learningRate: POSITIVE,
  minimumRateShare: SHARE,
  weightDecay: NOT_NEGATIVE,
  beta1: DECAY,
  beta2: DECAY,
  epsilon: POSITIVE,
  clip: NOT_NEGATIVE,
  queryMaxLength: COUNT,
  passageMaxLength: COUNT,
  patience: COUNT,
  seed: ['a whole number', Number.isSafeInteger],
  tokenBudget: COUNT,
  keepBytes: COUNT_OR_NONE,
  temperatureLists: COUNT,
  studentTemperature: POSITIVE,
  teacherTemperature: ["'match' or a number above 0", POSITIVE[1]],
  contrastiveTemperature: POSITIVE,
  contrastiveWeight: NOT_NEGATIVE,
  listwiseWeight: NOT_NEGATIVE,
  maskThreshold: NOT_NEGATIVE,
  warmupSteps: COUNT_OR_NONE,
  maxSteps: COUNT,
  evaluateEvery: COUNT,
  devQueries: COUNT,
  devDistractors: COUNT,
  checkpointEvery: COUNT,
  keepCheckpoints: COUNT,
};

const OTHERS = [
  ...['model', 'lists', 'dev', 'corpus', 'output', 'batching', 'devData', 'devSplit', 'chooseBy', 'resume'],
  ...['maxMemory', 'onStep', 'onEvent', 'onReplace', 'signal', 'onProgress'],
  ...['device', 'precision', 'pooling', 'queryPrefix', 'passagePrefix', 'revision'],
] as const;

/** The names of all options of trainListwise. */
export const trainingOptionNames: readonly string[] = [...Object.keys(NUMBERS), ...OTHERS];

/** Options that say where, how safely and how fast, but not what: they change a result by rounding at most. */
export const undecisiveOptions: readonly string[] = [
  ...[
    'model',
    'lists',
    'dev',
    'corpus',
    'output',
    'device',
    'revision',
    'signal',
    'onProgress',
    'onStep',
    'onEvent',
    'onReplace',
  ],
  ...['devData', 'devSplit', 'tokenBudget', 'keepBytes', 'maxMemory', 'checkpointEvery', 'keepCheckpoints', 'resume'],
];

/**
 * Fills in defaults and checks values.
 * @throws InvalidArgumentError naming the first option that is unknown or cannot be
 */
export function settleOptions(given: TrainingOptions): SettledOptions {
  if (typeof given !== 'object' || given === null) {
    throw new InvalidArgumentError('options', 'an object with model, lists and output', given);
  }
  rejectUnknownOptions(given, trainingOptionNames, 'trainListwise');
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  const options = { ...TRAINING_DEFAULTS, ...(Object.fromEntries(set) as unknown as TrainingOptions) };
  for (const name of ['model', 'output'] as const) {
    const value = options[name];
    if (typeof value !== 'string' || value === '')
      throw new InvalidArgumentError(name, 'a path that is not empty', value);
  }
  for (const [name, [expected, holds]] of Object.entries(NUMBERS)) {
    const value = options[name as keyof TrainingOptions];
    if (value === undefined || (name === 'teacherTemperature' && value === 'match')) continue;
    if (typeof value !== 'number' || !holds(value)) throw new InvalidArgumentError(name, expected, value);
  }
  if (options.maxMemory !== undefined) parseMemorySize(options.maxMemory, 'maxMemory');
  if (options.batching !== 'random' && options.batching !== 'clustered') {
    throw new InvalidArgumentError('batching', "'random' or 'clustered'", options.batching);
  }
  checkHumanDev(options);
  if (!['auto', 'must', 'never'].includes(options.resume)) {
    throw new InvalidArgumentError('resume', "'auto', 'must' or 'never'", options.resume);
  }
  if (options.precision === 'int8') {
    throw new InvalidArgumentError('precision', "'fp32' or 'bf16' (int8 cannot be trained)", options.precision);
  }
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

import { InvalidArgumentError } from '../errors.js';
import type { ModelOptions } from '../models/model.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { LongWork } from '../types.js';
import type { Batching } from './batches.js';
import type { RunStepRecord } from './log.js';
import { parseMemorySize } from './memory-size.js';
import type { EarlierRun, TrainingEvent } from './run-start.js';
import type { SourceOptions } from './sources.js';

/** What every training run takes. Only `model`, `lists` and `output` must be given, and `corpus` where lists name ids only. */
export interface RunOptions
  extends LongWork,
    Partial<RunNumbers>,
    Pick<ModelOptions, 'device' | 'precision' | 'revision'> {
  /** The model to start from: a directory or a Hub name. */
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
  /** Steps of the warm-up. Default max(10, half an epoch's steps). */
  warmupSteps?: number;
  /** Stop after this many steps; the schedule ends there too. Default none: all epochs. */
  maxSteps?: number;
  /** Steps between evaluations on dev. Default an epoch's. */
  evaluateEvery?: number;
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
  onStep?(step: RunStepRecord): void;
  /** Hears that the run goes on from a checkpoint, or why it does not. */
  onEvent?: (event: TrainingEvent) => void;
}

export type Resume = 'auto' | 'must' | 'never';

/** Options of every run that are numbers with a default. */
export interface RunNumbers {
  /** Rounds over the lists, at most. */
  epochs: number;
  /** Queries a step. */
  batchSize: number;
  /** Highest learning rate. */
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
  /** Checkpoints to keep, the newest. Default 2: a damaged one is not the end. */
  keepCheckpoints: number;
}

/** Options of a run with every default filled in. */
export type SettledRunOptions = RunOptions &
  Omit<RunNumbers, 'keepBytes' | 'tokenBudget'> & { batching: Batching; resume: Resume };

/** What options of every run are where they are not given. */
export const RUN_DEFAULTS = {
  minimumRateShare: 0.1,
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  clip: 1,
  patience: 2,
  seed: 1,
  keepCheckpoints: 2,
  resume: 'auto' as const,
  batching: 'random' as const,
};

/** What a number must be, and a word that may stand in its place. */
export type NumberCheck = [expected: string, holds: (value: number) => boolean, word?: string];

export const COUNT: NumberCheck = ['a whole number above 0', (value) => Number.isInteger(value) && value > 0];
const COUNT_OR_NONE: NumberCheck = ['a whole number of at least 0', (value) => Number.isInteger(value) && value >= 0];
export const POSITIVE: NumberCheck = ['a number above 0', (value) => value > 0 && value < Number.POSITIVE_INFINITY];
export const NOT_NEGATIVE: NumberCheck = [
  'a number of at least 0',
  (value) => value >= 0 && value < Number.POSITIVE_INFINITY,
];
const SHARE: NumberCheck = ['a number from 0 to 1', (value) => value >= 0 && value <= 1];
const DECAY: NumberCheck = ['a number of at least 0 and below 1', (value) => value >= 0 && value < 1];

export const RUN_CHECKS: Readonly<Record<string, NumberCheck>> = {
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
  patience: COUNT,
  seed: ['a whole number', Number.isSafeInteger],
  tokenBudget: COUNT,
  keepBytes: COUNT_OR_NONE,
  warmupSteps: COUNT_OR_NONE,
  maxSteps: COUNT,
  evaluateEvery: COUNT,
  checkpointEvery: COUNT,
  keepCheckpoints: COUNT,
};

/** The names of the options of every run. */
export const runOptionNames: readonly string[] = [
  ...Object.keys(RUN_CHECKS),
  ...['model', 'lists', 'dev', 'corpus', 'output', 'batching', 'resume', 'maxMemory', 'onStep', 'onEvent'],
  ...['onReplace', 'signal', 'onProgress', 'device', 'precision', 'revision'],
];

/** Options of every run that say where, how safely and how fast, but not what: they change a result by rounding at most. */
export const undecisiveRunOptions: readonly string[] = [
  ...['model', 'lists', 'dev', 'corpus', 'output', 'device', 'revision', 'signal', 'onProgress', 'onStep', 'onEvent'],
  ...['tokenBudget', 'keepBytes', 'maxMemory', 'checkpointEvery', 'keepCheckpoints', 'resume', 'onReplace'],
];

/** What a function that trains takes: its name for messages, all its options' names, defaults, and what numbers must be. */
export interface OptionKind<D extends object> {
  caller: string;
  names: readonly string[];
  defaults: D;
  checks: Readonly<Record<string, NumberCheck>>;
}

/**
 * Fills in defaults and checks what every run takes.
 * @throws InvalidArgumentError naming the first option that is unknown or cannot be
 */
export function settleRunOptions<T extends RunOptions, D extends object>(given: T, kind: OptionKind<D>): D & T {
  if (typeof given !== 'object' || given === null) {
    throw new InvalidArgumentError('options', 'an object with model, lists and output', given);
  }
  rejectUnknownOptions(given, kind.names, kind.caller);
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  const options = { ...kind.defaults, ...(Object.fromEntries(set) as unknown as T) };
  for (const name of ['model', 'output'] as const) {
    const value = options[name];
    if (typeof value !== 'string' || value === '')
      throw new InvalidArgumentError(name, 'a path that is not empty', value);
  }
  for (const [name, [expected, holds, word]] of Object.entries(kind.checks)) {
    const value: unknown = options[name as keyof typeof options];
    if (value === undefined || (word !== undefined && value === word)) continue;
    if (typeof value !== 'number' || !holds(value)) throw new InvalidArgumentError(name, expected, value);
  }
  checkChoices(options);
  return options;
}

function checkChoices({ maxMemory, batching, resume, precision }: RunOptions): void {
  if (maxMemory !== undefined) parseMemorySize(maxMemory, 'maxMemory');
  if (batching !== 'random' && batching !== 'clustered') {
    throw new InvalidArgumentError('batching', "'random' or 'clustered'", batching);
  }
  if (!['auto', 'must', 'never'].includes(resume as string)) {
    throw new InvalidArgumentError('resume', "'auto', 'must' or 'never'", resume);
  }
  if (precision === 'int8') {
    throw new InvalidArgumentError('precision', "'fp32' or 'bf16' (int8 cannot be trained)", precision);
  }
}

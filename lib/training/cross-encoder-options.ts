import { InvalidArgumentError } from '../errors.js';
import type { PairLoss } from '../native.js';
import type { LabelChoice, Labelling } from './labels.js';
import {
  COUNT,
  RUN_CHECKS,
  RUN_DEFAULTS,
  type RunOptions,
  runOptionNames,
  type SettledRunOptions,
  settleRunOptions,
} from './run-options.js';

/**
 * What trainCrossEncoder takes. Only `model` (an encoder or a cross-encoder), `lists` and `output` must be given, and
 * `corpus` where lists name ids only. Defaults: 5 `epochs`, `batchSize` 16, `learningRate` 3e-5.
 */
export interface CrossEncoderTrainingOptions extends RunOptions {
  /**
   * 'listwise', the default: softmax cross-entropy over each list, its labels as a distribution. 'bce': binary
   * cross-entropy of each pair by itself.
   */
  loss?: PairLoss;
  /**
   * 'first', the default: each list's first passage is its positive, and the others are negatives whatever their scores.
   * 'scores': the lists' scores are labels, at least 0, and at most 1 for 'bce'.
   */
  labels?: LabelChoice;
  /** Longest pair in tokens, special tokens included; the passage is cut. Default 512, or the model's most if less. */
  maxLength?: number;
}

export type SettledCrossEncoderOptions = CrossEncoderTrainingOptions & SettledRunOptions & Labelling;

/** What options are where they are not given. */
export const CROSS_ENCODER_DEFAULTS = {
  ...RUN_DEFAULTS,
  epochs: 5,
  batchSize: 16,
  learningRate: 3e-5,
  loss: 'listwise' as const,
  labels: 'first' as const,
};

const CHECKS = { ...RUN_CHECKS, maxLength: COUNT };

/** The names of all options of trainCrossEncoder. */
export const crossEncoderTrainingOptionNames: readonly string[] = [...runOptionNames, 'loss', 'labels', 'maxLength'];

/**
 * Fills in defaults and checks values.
 * @throws InvalidArgumentError naming the first option that is unknown or cannot be
 */
export function settleCrossEncoderOptions(given: CrossEncoderTrainingOptions): SettledCrossEncoderOptions {
  const options: SettledCrossEncoderOptions = settleRunOptions(given, {
    caller: 'trainCrossEncoder',
    names: crossEncoderTrainingOptionNames,
    defaults: CROSS_ENCODER_DEFAULTS,
    checks: CHECKS,
  });
  const { loss, labels } = options;
  if (loss !== 'listwise' && loss !== 'bce') throw new InvalidArgumentError('loss', "'listwise' or 'bce'", loss);
  if (labels !== 'first' && labels !== 'scores') {
    throw new InvalidArgumentError('labels', "'first' or 'scores'", labels);
  }
  return options;
}

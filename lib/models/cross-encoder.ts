import { InvalidArgumentError, ListwiseError } from '../errors.js';
import { type EncoderSpec, type NativeEncoder, native, runJob } from '../native.js';
import { type CrossEncoderDirectory, readCrossEncoderDirectory } from './cross-encoder-directory.js';
import { resolveModel } from './hub.js';
import { explainDeviceError, type ModelOptions, settleDevice } from './model.js';
import { PairTokenizer } from './pairs.js';
import { readScoringActivation, SCORING_ACTIVATIONS, type ScoringActivation } from './scoring-activation.js';
import { T5_SCORINGS, type T5Kind, type T5Scoring } from './t5-scoring.js';
import { Tokenizer } from './tokenizer.js';

export interface CrossEncoderOptions
  extends Pick<ModelOptions, 'device' | 'precision' | 'revision' | 'signal' | 'onProgress'> {
  /** Longest pair in tokens, special tokens included; the passage is cut. Default: as the model's directory says. */
  maxLength?: number;
  /**
   * What is applied to the logit. Default: what sentence-transformers applies (as the model's directory says, else the
   * sigmoid), and 'identity' for T5.
   */
  activation?: ScoringActivation;
  /** How a T5's score is read. Default: by the model's name, if 'rankt5' or 'monot5' is a part of it. */
  t5?: T5Kind;
}

export const crossEncoderOptionNames: readonly string[] = [
  ...['device', 'precision', 'revision', 'signal', 'onProgress', 'maxLength', 'activation', 't5'],
];

/** A cross-encoder ready to compute. */
export interface CrossEncoderModel {
  name: string;
  directory: CrossEncoderDirectory;
  tokenizer: Tokenizer;
  /** Put before each query, as config_sentence_transformers.json has it. */
  queryPrefix: string;
  pairs: PairTokenizer;
  encoder: NativeEncoder;
  maxLength: number;
  activation: ScoringActivation;
  /** For T5. */
  scoring?: T5Scoring;
}

/** Everything about a cross-encoder but its tokenizer and weights. */
export interface SettledCrossEncoder {
  directory: CrossEncoderDirectory;
  place: Pick<EncoderSpec, 'device' | 'precision'>;
  scoring: T5Scoring | undefined;
  activation: ScoringActivation;
  maxLength: number;
}

/**
 * Finds a cross-encoder, in a local directory or on the Hub, and checks what was asked of it.
 * @throws NotFoundError, ModelError, ListwiseError UNSUPPORTED as readCrossEncoderDirectory does
 * @param argument what the name was given as, for messages
 * @throws InvalidArgumentError for an option that cannot be
 */
export async function settleCrossEncoder(
  name: string,
  options: CrossEncoderOptions,
  argument = 'model',
): Promise<SettledCrossEncoder> {
  const { device = 'auto', precision, revision, signal, onProgress } = options;
  if (typeof name !== 'string' || name === '') {
    throw new InvalidArgumentError(argument, 'a directory or a name on the Hub', name);
  }
  checkActivation(options.activation);
  const place = settleDevice(device, precision);
  const resolved = await resolveModel(name, { revision, argument, signal, onProgress });
  const directory = await readCrossEncoderDirectory(resolved);
  const { t5 } = settleT5(name, directory, options);
  const activation = options.activation ?? (t5 ? 'identity' : ownActivation(directory));
  const { maxLength = directory.maxLength } = options;
  return { directory, place, scoring: t5 && T5_SCORINGS[t5], activation, maxLength };
}

/** Loads a cross-encoder from a local directory or the Hub. @throws as settleCrossEncoder does */
export async function loadCrossEncoder(name: string, options: CrossEncoderOptions = {}): Promise<CrossEncoderModel> {
  const { directory, place, scoring, activation, maxLength } = await settleCrossEncoder(name, options);
  const tokenizer = await Tokenizer.load(directory);
  tokenizer.checkMaxLength(maxLength);
  const queryPrefix = queryPrefixOf(directory);
  const pairs = await PairTokenizer.create(tokenizer, { maxLength, prompt: scoring?.prompt, queryPrefix });
  const spec = { ...scoringSpec(directory, scoring), ...place };
  const encoder = await runJob(() => native().loadEncoder(spec), options.signal).catch((error: unknown) => {
    throw explainDeviceError(error, place.device);
  });
  return {
    name,
    directory,
    tokenizer,
    queryPrefix,
    pairs,
    encoder,
    maxLength,
    activation,
    ...(scoring && { scoring }),
  };
}

/** What the addon reads a cross-encoder's weights by. */
export function scoringSpec(
  { architecture, weightNames, weightFiles: files, head }: CrossEncoderDirectory,
  scoring?: T5Scoring,
): Omit<EncoderSpec, 'device' | 'precision'> {
  const decoder = head.decoder && scoring && { ...head.decoder, outputIds: scoring.outputIds };
  return { files, architecture, weightNames, dense: head.dense, ...(decoder && { decoder }) };
}

function ownActivation({ sentence, config, configFile }: CrossEncoderDirectory): ScoringActivation {
  return readScoringActivation(sentence, config, configFile);
}

/** The default prompt, which sentence-transformers' CrossEncoder puts before each query. */
function queryPrefixOf({ sentence: { prompts, defaultPromptName } }: CrossEncoderDirectory): string {
  return defaultPromptName === undefined ? '' : prompts[defaultPromptName]!;
}

function checkActivation(activation: unknown): void {
  if (activation === undefined || Object.hasOwn(SCORING_ACTIVATIONS, String(activation))) return;
  throw new InvalidArgumentError('activation', `one of ${Object.keys(SCORING_ACTIVATIONS).join(', ')}`, activation);
}

/** @throws InvalidArgumentError where a T5's kind is not known; ListwiseError UNSUPPORTED if its vocabulary lacks the tokens */
function settleT5(
  name: string,
  { family, architecture, configFile }: CrossEncoderDirectory,
  { t5 }: CrossEncoderOptions,
): { t5?: T5Kind } {
  if (family !== 't5') {
    if (t5 !== undefined) throw new InvalidArgumentError('t5', `nothing for a model of type "${family}"`, t5);
    return {};
  }
  const [, named] = /(rank-?t5|mono-?t5)/i.exec(name) ?? [];
  const kind = t5 ?? (named?.replace('-', '').toLowerCase() as T5Kind | undefined);
  if (kind === undefined || !Object.hasOwn(T5_SCORINGS, kind)) {
    throw new InvalidArgumentError('t5', "'rankt5' or 'monot5', as this T5 was trained,", t5);
  }
  const highest = Math.max(...T5_SCORINGS[kind].outputIds);
  if (highest < architecture.vocabularySize) return { t5: kind };
  throw new ListwiseError(
    'UNSUPPORTED',
    `${configFile}: vocab_size ${architecture.vocabularySize} does not hold token ${highest}, whose logit ${kind} reads.`,
  );
}

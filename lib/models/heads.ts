import { ListwiseError, ModelError } from '../errors.js';
import type { Architecture, DecoderSpec, DenseSpec, Pooling, WeightNames } from '../native.js';
import { Config } from './families/config.js';
import type { TensorInfo } from './safetensors.js';
import { describeDecoder } from './t5-scoring.js';

/** What turns an encoder's states into a score: pooling and layers on the pooled row, or a step of T5's decoder. */
export interface ScoringHead {
  pooling: Pooling;
  dense: DenseSpec[];
  decoder?: DecoderSpec;
  /** Names of the decoder's weights. */
  weightNames: WeightNames;
}

/** A layer of a classification head. In its name `@` stands for the prefix that the encoder's weights carry. */
interface HeadLayer {
  name: string;
  outputs: 'hidden' | 'labels';
  activation: DenseSpec['activation'];
  bias: boolean;
  norm?: { name: string; bias: boolean; eps: number };
}

interface HeadShape {
  pooling: Pooling;
  layers: HeadLayer[];
}

const layer = (name: string, activation: DenseSpec['activation']): HeadLayer => ({
  ...{ name, activation, bias: true },
  outputs: activation === 'identity' ? 'labels' : 'hidden',
});

const POOLER: HeadShape = {
  pooling: 'first-token',
  layers: [layer('@pooler.dense', 'tanh'), layer('classifier', 'identity')],
};
const DENSE_AND_PROJECTION: HeadShape = {
  pooling: 'first-token',
  layers: [layer('classifier.dense', 'tanh'), layer('classifier.out_proj', 'identity')],
};

/** The heads that transformers' ...ForSequenceClassification put on the families, by config.json's model_type. */
const HEADS: Readonly<Record<string, HeadShape | ((config: Config) => HeadShape)>> = {
  bert: POOLER,
  new: POOLER,
  gte: POOLER,
  roberta: DENSE_AND_PROJECTION,
  'xlm-roberta': DENSE_AND_PROJECTION,
  camembert: DENSE_AND_PROJECTION,
  mpnet: DENSE_AND_PROJECTION,
  distilbert: { pooling: 'first-token', layers: [layer('pre_classifier', 'relu'), layer('classifier', 'identity')] },
  modernbert: modernBertHead,
};

const CLASSIFIER_ACTIVATIONS: Readonly<Record<string, DenseSpec['activation']>> = {
  gelu: 'gelu',
  relu: 'relu',
  tanh: 'tanh',
};

function modernBertHead(config: Config): HeadShape {
  const pooling = config.get('classifier_pooling') ?? 'cls';
  if (pooling !== 'cls' && pooling !== 'mean') throw config.unsupported('classifier_pooling', ['cls', 'mean']);
  const activation = CLASSIFIER_ACTIVATIONS[String(config.get('classifier_activation') ?? 'gelu')];
  if (!activation) throw config.unsupported('classifier_activation', Object.keys(CLASSIFIER_ACTIVATIONS));
  const norm = { name: 'head.norm', bias: config.flag('norm_bias', false), eps: config.positive('norm_eps', 1e-5) };
  const bias = config.flag('classifier_bias', false);
  return {
    pooling: pooling === 'cls' ? 'first-token' : 'mean',
    layers: [{ ...layer('head.dense', activation), bias, norm }, layer('classifier', 'identity')],
  };
}

/** A model whose head is looked for. */
export interface HeadedModel {
  family: string;
  architecture: Architecture;
  weightNames: WeightNames;
}

/** The shape of a family's classification head. @throws ListwiseError UNSUPPORTED for a family that has none */
export function headShape(family: string, config: Config): HeadShape {
  const shape = Object.hasOwn(HEADS, family) ? HEADS[family] : undefined;
  if (!shape) {
    throw new ListwiseError(
      'UNSUPPORTED',
      `${config.file}: a classification head on model_type "${family}" is not supported; supported: ` +
        `${Object.keys(HEADS).join(', ')}.`,
    );
  }
  return typeof shape === 'function' ? shape(config) : shape;
}

/**
 * Finds the head that scores pairs.
 * @param fields config.json
 * @param file its path, for messages
 * @throws ModelError if the weights lack it: the model is no cross-encoder
 * @throws ListwiseError UNSUPPORTED for a head with several labels, or of a kind that is not computed
 */
export function describeHead(
  { family, architecture, weightNames }: HeadedModel,
  fields: Record<string, unknown>,
  { tensors, file }: { tensors: ReadonlyMap<string, TensorInfo>; file: string },
): ScoringHead {
  const config = new Config(fields, file);
  if (family === 't5') {
    return { pooling: 'mean', dense: [], ...describeDecoder(config, tensors) };
  }
  const head = classificationHead({ family, architecture, weightNames }, config);
  checkHead(head.dense, { tensors, file });
  return { ...head, weightNames: {} };
}

/**
 * The classification head that transformers puts on an encoder, with one label: how its weights are called and shaped.
 * @throws ListwiseError UNSUPPORTED for a family that has none
 */
export function classificationHead(
  { family, architecture, weightNames }: HeadedModel,
  config: Config,
): Pick<ScoringHead, 'pooling' | 'dense'> {
  const { pooling, layers } = headShape(family, config);
  const prefix = encoderPrefix(weightNames);
  const inFile = (name: string) => name.replace('@', prefix);
  const dense = layers.map(
    ({ name, outputs, activation, bias, norm }): DenseSpec => ({
      names: linearNames(inFile(name), bias),
      inputs: architecture.hiddenSize,
      outputs: outputs === 'hidden' ? architecture.hiddenSize : 1,
      ...{ bias, activation },
      ...(norm && { norm: { names: linearNames(inFile(norm.name), norm.bias), eps: norm.eps } }),
    }),
  );
  return { pooling, dense };
}

/** What the names of the encoder's weights begin with, such as `bert.`. */
export function encoderPrefix(names: WeightNames): string {
  return names['embeddings.word']!.replace(/embeddings\.(word|tok)_embeddings\.weight$/, '');
}

function linearNames(name: string, bias: boolean): { weight: string; bias?: string } {
  return { weight: `${name}.weight`, ...(bias && { bias: `${name}.bias` }) };
}

function checkHead(
  dense: readonly DenseSpec[],
  { tensors, file }: { tensors: ReadonlyMap<string, TensorInfo>; file: string },
): void {
  const names = dense.flatMap(({ names, norm }) => [names!, ...(norm ? [norm.names] : [])]);
  const missing = names.flatMap((pair) => Object.values(pair) as string[]).filter((name) => !tensors.has(name));
  if (missing.length > 0) {
    throw new ModelError(
      `The weights beside ${file} lack ${missing.join(', ')}, so this model has no head that scores pairs. Give a ` +
        'cross-encoder, saved as a model for sequence classification.',
    );
  }
  const labels = tensors.get(dense.at(-1)!.names!.weight)!.shape[0];
  if (labels === 1) return;
  throw new ListwiseError(
    'UNSUPPORTED',
    `${file}: a classifier of ${labels} labels gives no single score; supported: models with one label.`,
  );
}

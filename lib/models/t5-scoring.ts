import { ModelError } from '../errors.js';
import type { DecoderSpec, WeightNames } from '../native.js';
import type { Config } from './families/config.js';
import { named } from './families/family.js';
import type { TensorInfo } from './safetensors.js';

/** A way of reading a score off T5's first decoding step. */
export interface T5Scoring {
  /** Tokens whose logits are read. */
  outputIds: number[];
  /** What stands before the query, between query and passage, and after the passage. */
  prompt: { before: string; between: string; after: string };
  /** The score of a pair, from the logits of outputIds. */
  score(logits: Float32Array): number;
}

export type T5Kind = 'rankt5' | 'monot5';

export const T5_SCORINGS: Readonly<Record<T5Kind, T5Scoring>> = {
  /** Zhuang et al., RankT5, arXiv:2210.10634: the logit of `<extra_id_10>`. */
  rankt5: {
    outputIds: [32089],
    prompt: { before: 'Query: ', between: ' Document:', after: '' },
    score: (logits) => logits[0]!,
  },
  /** Nogueira et al., arXiv:2003.06713: the log-probability of `true` (1176) where `false` (6136) is the alternative. */
  monot5: {
    outputIds: [1176, 6136],
    prompt: { before: 'Query: ', between: ' Document:', after: 'Relevant:' },
    score: ([yes = 0, no = 0]) => Math.min(0, yes - no) - Math.log1p(Math.exp(-Math.abs(yes - no))),
  },
};

const LAYER = 'decoder.block.{layer}.layer';

/** T5's decoder as one step of it needs it; the tokens to read are the caller's to say. */
export function describeDecoder(
  config: Config,
  tensors: ReadonlyMap<string, TensorInfo>,
): { decoder: DecoderSpec; weightNames: WeightNames } {
  const layers = config.wholeNumber('num_decoder_layers', { absent: config.wholeNumber('num_layers') });
  const weightNames = decoderNames(config, tensors);
  const all = Object.values(weightNames).flatMap((name) =>
    name.includes('{layer}') ? Array.from({ length: layers }, (_, i) => name.replace('{layer}', String(i))) : [name],
  );
  const missing = all.filter((name) => !tensors.has(name));
  if (missing.length > 0) {
    throw new ModelError(
      `The weights beside ${config.file} lack ${missing[0]}${missing.length > 1 ? ` and ${missing.length - 1} more` : ''}` +
        ', so this T5 has no decoder to score pairs with. Give a RankT5 or monoT5, saved as a model for generation.',
    );
  }
  // Configs say by tie_word_embeddings whether the states are scaled; newer ones by a field of its own.
  const isScaled = config.flag('scale_decoder_outputs', config.flag('tie_word_embeddings', true));
  return {
    decoder: {
      layers,
      startId: config.wholeNumber('decoder_start_token_id', { least: 0, absent: 0 }),
      outputIds: [],
      outputScale: isScaled ? config.wholeNumber('d_model') ** -0.5 : 1,
    },
    weightNames,
  };
}

function decoderNames(config: Config, tensors: ReadonlyMap<string, TensorInfo>): WeightNames {
  const isGated = String(config.get('feed_forward_proj') ?? 'relu').startsWith('gated-');
  const plain = { bias: false };
  return {
    ...named('decoder.self.norm', `${LAYER}.0.layer_norm`, plain),
    ...named('decoder.self.value', `${LAYER}.0.SelfAttention.v`, plain),
    ...named('decoder.self.output', `${LAYER}.0.SelfAttention.o`, plain),
    ...named('decoder.cross.norm', `${LAYER}.1.layer_norm`, plain),
    ...named('decoder.cross.query', `${LAYER}.1.EncDecAttention.q`, plain),
    ...named('decoder.cross.key', `${LAYER}.1.EncDecAttention.k`, plain),
    ...named('decoder.cross.value', `${LAYER}.1.EncDecAttention.v`, plain),
    ...named('decoder.cross.output', `${LAYER}.1.EncDecAttention.o`, plain),
    ...named('decoder.feedForward.norm', `${LAYER}.2.layer_norm`, plain),
    ...named('decoder.feedForward.in', `${LAYER}.2.DenseReluDense.${isGated ? 'wi_0' : 'wi'}`, plain),
    ...(isGated && named('decoder.feedForward.gate', `${LAYER}.2.DenseReluDense.wi_1`, plain)),
    ...named('decoder.feedForward.out', `${LAYER}.2.DenseReluDense.wo`, plain),
    ...named('decoder.final.norm', 'decoder.final_layer_norm', plain),
    // Where it is tied, the embeddings are the output layer.
    ...(tensors.has('lm_head.weight') && named('decoder.head', 'lm_head', plain)),
  };
}

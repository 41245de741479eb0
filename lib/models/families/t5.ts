import type { Architecture } from '../../native.js';
import type { Config } from './config.js';
import { type Family, named, plainAttention } from './family.js';

const LAYER = 'encoder.block.{layer}.layer';

/** No table bounds T5's positions; a longer text than this is a mistake. */
const LONGEST = 65_536;

/** `gated-gelu` has always meant the tanh approximation. */
function feedForward(config: Config): Pick<Architecture, 'activation' | 'feedForward'> {
  const value = config.get('feed_forward_proj') ?? 'relu';
  const name = String(value);
  const isGated = name.startsWith('gated-');
  const activation = name === 'gated-gelu' ? 'gelu_new' : isGated ? name.slice('gated-'.length) : name;
  return {
    activation: config.activation('feed_forward_proj', activation),
    feedForward: isGated ? 'gated-by-first' : 'plain',
  };
}

/**
 * The encoder of T5 (Raffel et al., arXiv:1910.10683) and T5 1.1: RMS norms before each half of a block, a bias by
 * relative position that all layers share, scores that are not scaled, and no biases.
 */
export const T5: Family = {
  required: { quantization_config: [null] },
  usualLength: 512,
  architecture: (config) => {
    const layers = config.wholeNumber('num_layers');
    return {
      vocabularySize: config.wholeNumber('vocab_size'),
      hiddenSize: config.wholeNumber('d_model'),
      layers,
      heads: config.wholeNumber('num_heads'),
      headSize: config.wholeNumber('d_kv'),
      intermediateSize: config.wholeNumber('d_ff'),
      maxPositions: LONGEST,
      positionRows: 0,
      tokenTypes: 0,
      norm: 'rms',
      normPlace: 'before',
      normEps: config.positive('layer_norm_epsilon', 1e-6),
      ...feedForward(config),
      scoreScale: 1,
      relative: {
        buckets: config.wholeNumber('relative_attention_num_buckets', { least: 4, absent: 32 }),
        maxDistance: config.wholeNumber('relative_attention_max_distance', { absent: 128 }),
      },
      ...plainAttention(layers),
    };
  },
  weightNames: (config) => ({
    'embeddings.word': ['shared.weight', 'encoder.embed_tokens.weight', 'decoder.embed_tokens.weight'],
    'attention.relative': 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight',
    ...named('attention.query', `${LAYER}.0.SelfAttention.q`, { bias: false }),
    ...named('attention.key', `${LAYER}.0.SelfAttention.k`, { bias: false }),
    ...named('attention.value', `${LAYER}.0.SelfAttention.v`, { bias: false }),
    ...named('attention.output', `${LAYER}.0.SelfAttention.o`, { bias: false }),
    ...named('attention.norm', `${LAYER}.0.layer_norm`, { bias: false }),
    ...(feedForward(config).feedForward === 'plain'
      ? named('feedForward.in', `${LAYER}.1.DenseReluDense.wi`, { bias: false })
      : {
          ...named('feedForward.in', `${LAYER}.1.DenseReluDense.wi_0`, { bias: false }),
          ...named('feedForward.gate', `${LAYER}.1.DenseReluDense.wi_1`, { bias: false }),
        }),
    ...named('feedForward.out', `${LAYER}.1.DenseReluDense.wo`, { bias: false }),
    ...named('feedForward.norm', `${LAYER}.1.layer_norm`, { bias: false }),
    ...named('final.norm', 'encoder.final_layer_norm', { bias: false }),
  }),
};

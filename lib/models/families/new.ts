import type { Family } from './family.js';
import { named, sharedHeadSize } from './family.js';
import { rotaryFrequencies } from './rotary.js';

const LAYER = 'encoder.layer.{layer}';

/**
 * Alibaba's NewModel (Zhang et al., mGTE, arXiv:2407.19669), also called GTE: BERT with rotary positions and a gated
 * feed-forward, whose second half is activated. Unpadding and the choice of an attention kernel, of which configs speak,
 * do not change what is computed.
 */
export const NEW: Family = {
  required: {
    position_embedding_type: ['rope', null],
    pack_qkv: [true],
    layer_norm_type: ['layer_norm'],
    logn_attention_scale: [false],
    logn_attention_clip1: [false],
    quantization_config: [null],
  },
  architecture: (config) => {
    const headSize = sharedHeadSize(config, 'hidden_size', 'num_attention_heads');
    const layers = config.wholeNumber('num_hidden_layers');
    const parameters = config.object('rope_parameters');
    const theta = config.positive('rope_theta', config.get('model_type') === 'gte' ? 160_000 : 10_000);
    const frequencies = rotaryFrequencies({
      headSize,
      theta: parameters?.positive('rope_theta', theta) ?? theta,
      scaling: parameters ?? config.object('rope_scaling'),
    });
    return {
      vocabularySize: config.wholeNumber('vocab_size'),
      hiddenSize: config.wholeNumber('hidden_size'),
      layers,
      heads: config.wholeNumber('num_attention_heads'),
      headSize,
      intermediateSize: config.wholeNumber('intermediate_size'),
      maxPositions: config.wholeNumber('max_position_embeddings'),
      positionRows: 0,
      tokenTypes: config.wholeNumber('type_vocab_size', { least: 0, absent: 0 }),
      norm: 'layer',
      normPlace: 'after',
      normEps: config.positive('layer_norm_eps', 1e-12),
      activation: config.activation('hidden_act', config.get('hidden_act') ?? 'gelu'),
      feedForward: 'gated-by-second',
      scoreScale: 1 / Math.sqrt(headSize),
      attention: [{ window: 0, frequencies }],
      attentionOfLayer: new Array(layers).fill(0),
    };
  },
  weightNames: (config) => ({
    'embeddings.word': 'embeddings.word_embeddings.weight',
    ...(config.wholeNumber('type_vocab_size', { least: 0, absent: 0 }) > 0 && {
      'embeddings.tokenType': 'embeddings.token_type_embeddings.weight',
    }),
    ...named('embeddings.norm', 'embeddings.LayerNorm'),
    ...named('attention.qkv', `${LAYER}.attention.qkv_proj`),
    ...named('attention.output', `${LAYER}.attention.o_proj`),
    ...named('attention.norm', `${LAYER}.attn_ln`),
    ...named('feedForward.in', `${LAYER}.mlp.up_gate_proj`, { bias: false }),
    ...named('feedForward.out', `${LAYER}.mlp.down_proj`),
    ...named('feedForward.norm', `${LAYER}.mlp_ln`),
  }),
};

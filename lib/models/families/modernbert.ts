import { describe, ModelError } from '../../errors.js';
import type { Architecture, WeightNames } from '../../native.js';
import type { Config } from './config.js';
import { type Family, named, sharedHeadSize } from './family.js';
import { rotaryFrequencies } from './rotary.js';

const TYPES = ['full_attention', 'sliding_attention'];

/** 0 for layers that see the whole text, 1 for those that see a window. Older configs say only how often they alternate. */
function attentionOfLayer(config: Config, layers: number): number[] {
  const types = config.get('layer_types');
  if (types === undefined) {
    const every = config.wholeNumber('global_attn_every_n_layers', { absent: 3 });
    return Array.from({ length: layers }, (_, layer) => (layer % every === 0 ? 0 : 1));
  }
  if (!Array.isArray(types) || types.length !== layers || !types.every((type) => TYPES.includes(type))) {
    throw new ModelError(
      `${config.file}: expected ${layers} of "${TYPES.join('" and "')}" for layer_types but found ` +
        `${Array.isArray(types) ? JSON.stringify(types) : describe(types)}.`,
    );
  }
  return types.map((type) => TYPES.indexOf(type));
}

/** Rotary positions of one kind of layer: rope_parameters has an entry for each; older configs have two thetas. */
function frequencies(config: Config, type: string, headSize: number): number[] {
  const parameters = config.object('rope_parameters')?.object(type);
  // A local_rope_theta of null means that local layers turn as the global ones do.
  const isGlobal = type === 'full_attention' || config.isNull('local_rope_theta');
  const theta = isGlobal ? config.positive('global_rope_theta', 160_000) : config.positive('local_rope_theta', 10_000);
  return rotaryFrequencies({
    headSize,
    theta: parameters?.positive('rope_theta', theta) ?? theta,
    scaling: parameters ?? config.object('rope_scaling'),
  });
}

function architecture(config: Config): Architecture {
  const headSize = sharedHeadSize(config, 'hidden_size', 'num_attention_heads');
  const layers = config.wholeNumber('num_hidden_layers');
  // local_attention counts the keys on both sides.
  const window = Math.floor(config.wholeNumber('local_attention', { least: 2, absent: 128 }) / 2);
  return {
    vocabularySize: config.wholeNumber('vocab_size'),
    hiddenSize: config.wholeNumber('hidden_size'),
    layers,
    heads: config.wholeNumber('num_attention_heads'),
    headSize,
    intermediateSize: config.wholeNumber('intermediate_size'),
    maxPositions: config.wholeNumber('max_position_embeddings'),
    positionRows: 0,
    tokenTypes: 0,
    norm: 'layer',
    normPlace: 'before',
    normEps: config.positive('norm_eps', 1e-5),
    activation: config.activation('hidden_activation', config.get('hidden_activation') ?? 'gelu'),
    feedForward: 'gated-by-first',
    scoreScale: 1 / Math.sqrt(headSize),
    attention: TYPES.map((type, kind) => ({
      window: kind === 0 ? 0 : window,
      frequencies: frequencies(config, type, headSize),
    })),
    attentionOfLayer: attentionOfLayer(config, layers),
  };
}

function weightNames(config: Config): WeightNames {
  const norm = { bias: config.flag('norm_bias', false) };
  const attention = { bias: config.flag('attention_bias', false) };
  const inner = { bias: config.flag('mlp_bias', false) };
  return {
    'embeddings.word': 'embeddings.tok_embeddings.weight',
    ...named('embeddings.norm', 'embeddings.norm', norm),
    ...named('attention.qkv', 'layers.{layer}.attn.Wqkv', attention),
    ...named('attention.output', 'layers.{layer}.attn.Wo', attention),
    ...named('attention.norm', 'layers.{layer}.attn_norm', norm),
    ...named('feedForward.in', 'layers.{layer}.mlp.Wi', inner),
    ...named('feedForward.out', 'layers.{layer}.mlp.Wo', inner),
    ...named('feedForward.norm', 'layers.{layer}.mlp_norm', norm),
    ...named('final.norm', 'final_norm', norm),
  };
}

/**
 * Warner et al., ModernBERT, arXiv:2412.13663: rotary positions, layers with a window among layers without, a gated
 * feed-forward, norms before each half of a block. The embeddings' norm is also that of the first layer's attention.
 */
export const MODERNBERT: Family = { required: { quantization_config: [null] }, architecture, weightNames };

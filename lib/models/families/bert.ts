import type { Architecture } from '../../native.js';
import type { Config } from './config.js';
import { type Family, named, plainAttention, sharedHeadSize } from './family.js';

/** What encoders of BERT's kind have in common: learned positions, and norms after each half of a block. */
function bertArchitecture(config: Config, fields: Record<'hidden' | 'layers' | 'heads' | 'inner', string>) {
  const headSize = sharedHeadSize(config, fields.hidden, fields.heads);
  const layers = config.wholeNumber(fields.layers);
  const positionRows = config.wholeNumber('max_position_embeddings');
  return {
    vocabularySize: config.wholeNumber('vocab_size'),
    hiddenSize: config.wholeNumber(fields.hidden),
    layers,
    heads: config.wholeNumber(fields.heads),
    headSize,
    intermediateSize: config.wholeNumber(fields.inner),
    maxPositions: positionRows,
    positionRows,
    tokenTypes: 0,
    norm: 'layer',
    normPlace: 'after',
    normEps: 1e-12,
    activation: 'gelu',
    feedForward: 'plain',
    scoreScale: 1 / Math.sqrt(headSize),
    ...plainAttention(layers),
  } satisfies Architecture;
}

const FIELDS = {
  hidden: 'hidden_size',
  layers: 'num_hidden_layers',
  heads: 'num_attention_heads',
  inner: 'intermediate_size',
};

const required = {
  position_embedding_type: ['absolute', null],
  is_decoder: [false],
  add_cross_attention: [false],
  quantization_config: [null],
  pruned_heads: [{}, null],
};

const embeddings = {
  'embeddings.word': 'embeddings.word_embeddings.weight',
  'embeddings.position': 'embeddings.position_embeddings.weight',
  ...named('embeddings.norm', 'embeddings.LayerNorm'),
};

const LAYER = 'encoder.layer.{layer}';

const feedForward = {
  ...named('feedForward.in', `${LAYER}.intermediate.dense`),
  ...named('feedForward.out', `${LAYER}.output.dense`),
  ...named('feedForward.norm', `${LAYER}.output.LayerNorm`),
};

const bertNames = {
  ...embeddings,
  'embeddings.tokenType': 'embeddings.token_type_embeddings.weight',
  ...named('attention.query', `${LAYER}.attention.self.query`),
  ...named('attention.key', `${LAYER}.attention.self.key`),
  ...named('attention.value', `${LAYER}.attention.self.value`),
  ...named('attention.output', `${LAYER}.attention.output.dense`),
  ...named('attention.norm', `${LAYER}.attention.output.LayerNorm`),
  ...feedForward,
};

/** Devlin et al., BERT, arXiv:1810.04805. */
export const BERT: Family = {
  required,
  architecture: (config) => ({
    ...bertArchitecture(config, FIELDS),
    tokenTypes: config.wholeNumber('type_vocab_size'),
    normEps: config.positive('layer_norm_eps'),
    activation: config.activation('hidden_act'),
  }),
  weightNames: () => bertNames,
};

/** Positions that start after the padding id's row. */
function afterPadding(config: Config, paddingId: number): Pick<Architecture, 'paddingId' | 'maxPositions'> {
  return {
    paddingId,
    maxPositions: config.wholeNumber('max_position_embeddings', { least: paddingId + 2 }) - paddingId - 1,
  };
}

/** Liu et al., RoBERTa, arXiv:1907.11692, and Conneau et al., XLM-R, arXiv:1911.02116. */
export const ROBERTA: Family = {
  ...BERT,
  architecture: (config) => ({
    ...BERT.architecture(config),
    ...afterPadding(config, config.wholeNumber('pad_token_id', { least: 0, absent: 1 })),
  }),
};

/** Sanh et al., DistilBERT, arXiv:1910.01108. */
export const DISTILBERT: Family = {
  required: { quantization_config: [null], pruned_heads: [{}, null] },
  architecture: (config) => ({
    ...bertArchitecture(config, { hidden: 'dim', layers: 'n_layers', heads: 'n_heads', inner: 'hidden_dim' }),
    activation: config.activation('activation'),
  }),
  weightNames: () => ({
    ...embeddings,
    ...named('attention.query', 'transformer.layer.{layer}.attention.q_lin'),
    ...named('attention.key', 'transformer.layer.{layer}.attention.k_lin'),
    ...named('attention.value', 'transformer.layer.{layer}.attention.v_lin'),
    ...named('attention.output', 'transformer.layer.{layer}.attention.out_lin'),
    ...named('attention.norm', 'transformer.layer.{layer}.sa_layer_norm'),
    ...named('feedForward.in', 'transformer.layer.{layer}.ffn.lin1'),
    ...named('feedForward.out', 'transformer.layer.{layer}.ffn.lin2'),
    ...named('feedForward.norm', 'transformer.layer.{layer}.output_layer_norm'),
  }),
};

/** The padding id that MPNet's positions start after, whatever its config says. */
const MPNET_PADDING = 1;

/** Song et al., MPNet, arXiv:2004.09297: BERT with a bias by relative position that all layers share. */
export const MPNET: Family = {
  required: { quantization_config: [null], pruned_heads: [{}, null] },
  architecture: (config) => ({
    ...bertArchitecture(config, FIELDS),
    ...afterPadding(config, MPNET_PADDING),
    normEps: config.positive('layer_norm_eps'),
    activation: config.activation('hidden_act'),
    relative: {
      buckets: config.wholeNumber('relative_attention_num_buckets', { least: 4, absent: 32 }),
      maxDistance: 128,
    },
  }),
  weightNames: () => ({
    ...embeddings,
    ...feedForward,
    'attention.relative': 'encoder.relative_attention_bias.weight',
    ...named('attention.query', `${LAYER}.attention.attn.q`),
    ...named('attention.key', `${LAYER}.attention.attn.k`),
    ...named('attention.value', `${LAYER}.attention.attn.v`),
    ...named('attention.output', `${LAYER}.attention.attn.o`),
    ...named('attention.norm', `${LAYER}.attention.LayerNorm`),
  }),
};

import { expect } from 'chai';
import { describeModel, supportedFamilies } from '../lib/models/families.js';
import { expectClose, tinyConfig, tinyWeights } from './helpers.js';

const names = (prefix = '') => new Set(Object.keys(tinyWeights(tinyConfig, 1, prefix)));

describe('describeModel', () => {
  it('reads the architecture of BERT', () => {
    expect(describeModel(tinyConfig, names(), 'config.json')).to.deep.include({
      family: 'bert',
      architecture: {
        vocabularySize: 56,
        hiddenSize: 32,
        layers: 2,
        heads: 4,
        intermediateSize: 48,
        headSize: 8,
        maxPositions: 40,
        positionRows: 40,
        tokenTypes: 2,
        norm: 'layer',
        normPlace: 'after',
        normEps: 1e-12,
        activation: 'gelu',
        feedForward: 'plain',
        scoreScale: 1 / Math.sqrt(8),
        attention: [{ window: 0, frequencies: [] }],
        attentionOfLayer: [0, 0],
      },
    });
  });

  const frequencies = (config: Record<string, unknown>, tensors: string[]) =>
    describeModel(config, new Set(tensors), 'm/config.json').architecture.attention.map((kind) => kind.frequencies);

  const modernBert = {
    ...{ model_type: 'modernbert', vocab_size: 96, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 4 },
    ...{ intermediate_size: 48, max_position_embeddings: 64 },
  };
  const modernBertNames = [
    ...['embeddings.tok_embeddings', 'embeddings.norm', 'layers.0.attn.Wqkv', 'layers.0.attn.Wo', 'layers.0.mlp.Wi'],
    ...['layers.0.mlp.Wo', 'layers.0.mlp_norm', 'final_norm'],
  ].map((name) => `${name}.weight`);

  it("reads ModernBERT's older configs, which give two thetas and how often layers alternate", () => {
    const config = { ...modernBert, global_rope_theta: 160000, local_rope_theta: 10000, local_attention: 128 };
    const { architecture } = describeModel(config, new Set(modernBertNames), 'm/config.json');
    expect(architecture.attention.map(({ window }) => window)).to.deep.equal([0, 64]);
    for (const [kind, theta] of [160000, 10000].entries()) {
      const expected = [0, 1, 2, 3].map((i) => theta ** (-i / 4));
      expectClose(architecture.attention[kind]!.frequencies, expected, { rtol: 1e-6 }, 'frequencies');
    }
    const [, local] = frequencies({ ...config, local_rope_theta: null }, modernBertNames);
    expectClose(
      local!,
      [0, 1, 2, 3].map((i) => 160000 ** (-i / 4)),
      { rtol: 1e-6 },
      'frequencies without a local theta',
    );
    const layers = Array.from({ length: 7 }, (_, layer) => `layers.${layer}.`);
    const names = layers.flatMap((layer) => modernBertNames.map((name) => name.replace('layers.0.', layer)));
    const deep = describeModel(
      { ...config, num_hidden_layers: 7, global_attn_every_n_layers: 3 },
      new Set([...names, ...layers.map((layer) => `${layer}attn_norm.weight`)]),
      'm/config.json',
    );
    expect(deep.architecture.attentionOfLayer).to.deep.equal([0, 1, 1, 0, 1, 1, 0]);
  });

  it("refuses ModernBERT's settings that cannot be, and missing norms after the first layer", () => {
    const describing = (change: object) => () =>
      describeModel({ ...modernBert, ...change }, new Set(modernBertNames), 'm/config.json');
    expect(describing({ layer_types: ['chunked_attention'] })).to.throw(
      'm/config.json: expected 1 of "full_attention" and "sliding_attention" for layer_types but found ["chunked_attention"].',
    );
    expect(describing({ rope_parameters: { full_attention: { rope_type: 'yarn', factor: 2 } } }))
      .to.throw(
        'm/config.json: rope_parameters: full_attention: rope_type "yarn" is not supported; supported: "default"',
      )
      .with.property('code', 'UNSUPPORTED');
    expect(describing({ norm_bias: true })).to.throw('lack embeddings.norm.bias, layers.0.mlp_norm.bias');
    const two = modernBertNames.flatMap((name) => [name, name.replace('layers.0', 'layers.1')]);
    expect(() => describeModel({ ...modernBert, num_hidden_layers: 2 }, new Set(two), 'm/config.json')).to.throw(
      'lack layers.1.attn_norm.weight, which',
    );
  });

  const gte = {
    ...{ model_type: 'new', vocab_size: 96, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 4 },
    ...{ intermediate_size: 48, max_position_embeddings: 64, type_vocab_size: 0, pack_qkv: true },
    ...{ layer_norm_type: 'layer_norm', position_embedding_type: 'rope', rope_theta: 10_000 },
  };
  const gteNames = ['attention.qkv_proj', 'attention.o_proj', 'attn_ln', 'mlp.up_gate_proj', 'mlp.down_proj', 'mlp_ln'];
  const gteTensors = new Set([
    ...gteNames.flatMap((name) => [`encoder.layer.0.${name}.weight`, `encoder.layer.0.${name}.bias`]),
    ...['word_embeddings.weight', 'LayerNorm.weight', 'LayerNorm.bias'].map((name) => `embeddings.${name}`),
  ]);
  const refusedOfGte: [Record<string, unknown>, string][] = [
    [
      { position_embedding_type: 'absolute' },
      'position_embedding_type "absolute" is not supported; supported: "rope".',
    ],
    [{ pack_qkv: false }, 'pack_qkv false is not supported; supported: true.'],
    [{ layer_norm_type: 'rms_norm' }, 'layer_norm_type "rms_norm" is not supported; supported: "layer_norm".'],
    [{ logn_attention_scale: true }, 'logn_attention_scale true is not supported; supported: false.'],
    [{ logn_attention_clip1: true }, 'logn_attention_clip1 true is not supported; supported: false.'],
    [{ quantization_config: { bits: 4 } }, 'quantization_config {"bits":4} is not supported.'],
    [
      { rope_scaling: { type: 'yarn', factor: 2 } },
      'rope_scaling: type "yarn" is not supported; supported: "default", "linear", "ntk".',
    ],
    [{ rope_scaling: { type: 'ntk', factor: 2, mixed_b: 0.6 } }, 'rope_scaling: mixed_b 0.6 is not supported.'],
  ];
  for (const [change, message] of refusedOfGte) {
    it(`refuses ${JSON.stringify(change)} of NewModel`, () => {
      expect(() => describeModel({ ...gte, ...change }, gteTensors, 'm/config.json'))
        .to.throw(`m/config.json: ${message}`)
        .with.property('code', 'UNSUPPORTED');
    });
  }

  it("takes NewModel's settings that change nothing", () => {
    const scaled = { rope_scaling: { type: 'ntk', factor: 2, mixed_b: null }, unpad_inputs: true };
    expect(describeModel({ ...gte, ...scaled }, gteTensors, 'm/config.json').family).to.equal('new');
  });

  it('computes gated-gelu of T5 by the tanh approximation, as it always was', () => {
    const t5 = { model_type: 't5', vocab_size: 96, d_model: 32, d_kv: 8, d_ff: 48, num_layers: 1, num_heads: 4 };
    const part = (name: string) => `encoder.block.0.layer.${name}.weight`;
    const names = [
      ...['q', 'k', 'v', 'o', 'relative_attention_bias'].map((name) => part(`0.SelfAttention.${name}`)),
      ...['wi', 'wi_0', 'wi_1', 'wo'].map((name) => part(`1.DenseReluDense.${name}`)),
      ...[part('0.layer_norm'), part('1.layer_norm'), 'encoder.final_layer_norm.weight', 'shared.weight'],
    ];
    const read = (feed_forward_proj?: string) =>
      describeModel({ ...t5, feed_forward_proj }, new Set(names), 'm/config.json');
    expect(read().architecture).to.include({ activation: 'relu', feedForward: 'plain', scoreScale: 1 });
    expect(read('gated-gelu').architecture).to.include({ activation: 'gelu-tanh', feedForward: 'gated-by-first' });
    expect(read('gated-silu').architecture.activation).to.equal('silu');
    expect(read('gated-gelu').weightNames).to.include({
      'feedForward.in.weight': 'encoder.block.{layer}.layer.1.DenseReluDense.wi_0.weight',
      'feedForward.gate.weight': 'encoder.block.{layer}.layer.1.DenseReluDense.wi_1.weight',
    });
    expect(() => read('gated-mish')).to.throw('feed_forward_proj "gated-mish" is not supported');
  });

  it('names every weight of the block, with the layer left open', () => {
    const { weightNames } = describeModel(tinyConfig, names(), 'config.json');
    expect(weightNames).to.include({
      'embeddings.word': 'embeddings.word_embeddings.weight',
      'attention.query.bias': 'encoder.layer.{layer}.attention.self.query.bias',
      'feedForward.norm.weight': 'encoder.layer.{layer}.output.LayerNorm.weight',
    });
    const used = new Set(
      Object.values(weightNames).flatMap((name) => [name.replace('{layer}', '0'), name.replace('{layer}', '1')]),
    );
    const unused = [...names()].filter((name) => !used.has(name));
    expect(unused).to.deep.equal(['pooler.dense.weight']);
  });

  it('finds the prefix that a file with a head carries', () => {
    const { weightNames } = describeModel(
      tinyConfig,
      new Set([...names('bert.'), 'cls.predictions.bias']),
      'config.json',
    );
    expect(weightNames['embeddings.word']).to.equal('bert.embeddings.word_embeddings.weight');
    expect(weightNames['attention.key.weight']).to.equal('bert.encoder.layer.{layer}.attention.self.key.weight');
  });

  it("finds LayerNorm's weights under their old names", () => {
    const old = [...names('bert.')].map((name) =>
      name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'),
    );
    const { weightNames } = describeModel(tinyConfig, new Set(old), 'config.json');
    expect(weightNames['embeddings.norm.weight']).to.equal('bert.embeddings.LayerNorm.gamma');
    expect(weightNames['attention.norm.bias']).to.equal('bert.encoder.layer.{layer}.attention.output.LayerNorm.beta');
  });

  for (const [name, activation] of Object.entries({
    gelu_new: 'gelu-tanh',
    gelu_pytorch_tanh: 'gelu-tanh',
    relu: 'relu',
    silu: 'silu',
  })) {
    it(`computes hidden_act ${name} as ${activation}`, () => {
      const { architecture } = describeModel({ ...tinyConfig, hidden_act: name }, names(), 'config.json');
      expect(architecture.activation).to.equal(activation);
    });
  }

  it('refuses a family that is not supported, naming those that are', () => {
    expect(() => describeModel({ ...tinyConfig, model_type: 'mamba' }, names(), 'm/config.json'))
      .to.throw(`m/config.json: model_type "mamba" is not supported; supported: ${supportedFamilies.join(', ')}.`)
      .with.property('code', 'UNSUPPORTED');
    expect(() => describeModel({}, names(), 'm/config.json')).to.throw(
      'm/config.json: expected a string for model_type but found undefined.',
    );
  });

  const refused: [Record<string, unknown>, string][] = [
    [
      { position_embedding_type: 'relative_key' },
      'position_embedding_type "relative_key" is not supported; supported: "absolute".',
    ],
    [{ hidden_act: 'mish' }, 'hidden_act "mish" is not supported; supported: "gelu",'],
    [{ is_decoder: true }, 'is_decoder true is not supported; supported: false.'],
    [{ add_cross_attention: true }, 'add_cross_attention true is not supported; supported: false.'],
    [{ pruned_heads: { 1: [0] } }, 'pruned_heads {"1":[0]} is not supported; supported: {}.'],
    [{ quantization_config: { bits: 4 } }, 'quantization_config {"bits":4} is not supported.'],
  ];
  for (const [change, message] of refused) {
    it(`refuses ${JSON.stringify(change)}, which the block does not compute`, () => {
      expect(() => describeModel({ ...tinyConfig, ...change }, names(), 'm/config.json'))
        .to.throw(`m/config.json: ${message}`)
        .with.property('code', 'UNSUPPORTED');
    });
  }

  it('refuses sizes that are missing or do not fit together', () => {
    const { hidden_size: _, ...rest } = tinyConfig;
    expect(() => describeModel(rest, names(), 'm/config.json')).to.throw(
      'm/config.json: expected a whole number above 0 for hidden_size but found undefined.',
    );
    expect(() => describeModel({ ...tinyConfig, num_attention_heads: 5 }, names(), 'm/config.json')).to.throw(
      'm/config.json: hidden_size 32 is no multiple of num_attention_heads 5.',
    );
  });

  it('refuses weights that lack a tensor, naming it', () => {
    const some = names();
    some.delete('encoder.layer.1.output.dense.bias');
    expect(() => describeModel(tinyConfig, some, 'm/config.json')).to.throw(
      'The weights beside m/config.json lack encoder.layer.1.output.dense.bias, which its config asks for.',
    );
    expect(() => describeModel(tinyConfig, new Set(['other.weight']), 'm/config.json')).to.throw(
      'hold no tensor embeddings.word_embeddings.weight',
    );
  });
});

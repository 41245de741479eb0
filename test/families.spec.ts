import { expect } from 'chai';
import { describeModel, supportedFamilies } from '../lib/models/families.js';
import { tinyConfig, tinyWeights } from './helpers.js';

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
        maxPositions: 40,
        tokenTypes: 2,
        layerNormEps: 1e-12,
        activation: 'gelu',
      },
    });
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
    [{ hidden_act: 'silu' }, 'hidden_act "silu" is not supported; supported: "gelu",'],
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

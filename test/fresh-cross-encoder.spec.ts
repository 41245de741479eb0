import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CrossEncoder } from '../lib/cross-encoder.js';
import { readModelDirectory } from '../lib/models/directory.js';
import { writeFreshCrossEncoder } from '../lib/models/fresh-cross-encoder.js';
import { tokenCounter } from '../lib/models/token-counter.js';
import { randomTexts, readSafetensors, temporaryDirectory, writeTinyModel } from './helpers.js';

const fixtures = fileURLToPath(new URL('fixtures/parity', import.meta.url));
const scorers = join(fixtures, 'cross-encoders');
const model = writeTinyModel();
const weightsOf = (directory: string) => readSafetensors(join(directory, 'model.safetensors'));

async function scoresOf(directory: string): Promise<Float32Array> {
  await using scorer = await CrossEncoder.load(directory);
  return await scorer.score([{ query: 'some words', passages: randomTexts(20) }]);
}

describe('writeFreshCrossEncoder', () => {
  const make = async (base: string, seed: number) => {
    const target = join(temporaryDirectory(), 'fresh');
    const options = { seed, maxLength: 32, activation: 'identity' } as const;
    await writeFreshCrossEncoder(await readModelDirectory(base), target, options);
    return target;
  };

  it("takes the encoder's weights over, its pooler too, and draws the rest by the seed", async () => {
    const [one, again, other] = [await make(model, 1), await make(model, 1), await make(model, 2)];
    const [base, fresh] = [weightsOf(model), weightsOf(one)];
    for (const [name, tensor] of Object.entries(base)) expect(fresh[`bert.${name}`], name).to.deep.equal(tensor);
    expect(fresh['bert.pooler.dense.bias']!.values.every((value) => value === 0)).to.equal(true);
    const { shape, values } = fresh['classifier.weight']!;
    expect(shape).to.deep.equal([1, 32]);
    const spread = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / 32);
    expect(spread).to.be.within(0.01, 0.03);
    expect(weightsOf(again)).to.deep.equal(fresh);
    expect(weightsOf(other)['classifier.weight']).to.not.deep.equal(fresh['classifier.weight']);
    const config = JSON.parse(readFileSync(join(one, 'config.json'), 'utf8'));
    expect(config).to.deep.include({ architectures: ['BertForSequenceClassification'], id2label: { 0: 'LABEL_0' } });
    expect(JSON.parse(readFileSync(join(one, 'tokenizer_config.json'), 'utf8'))).to.include({ model_max_length: 32 });
    expect(existsSync(join(one, 'modules.json'))).to.equal(false);
  });

  for (const [family, names] of [
    ['roberta', ['classifier.dense.weight', 'classifier.out_proj.bias', 'roberta.embeddings.word_embeddings.weight']],
    ['distilbert', ['pre_classifier.weight', 'classifier.weight', 'distilbert.embeddings.word_embeddings.weight']],
    ['mpnet', ['classifier.dense.weight', 'classifier.out_proj.weight', 'mpnet.embeddings.word_embeddings.weight']],
    ['modernbert', ['head.dense.weight', 'head.norm.weight', 'classifier.weight', 'model.final_norm.weight']],
    ['gte', ['gte.pooler.dense.weight', 'classifier.weight', 'gte.embeddings.word_embeddings.weight']],
  ] as const) {
    it(`makes one that opens of an encoder of the family ${family}`, async () => {
      const base = join(temporaryDirectory(), family);
      cpSync(join(fixtures, 'models', family), base, { recursive: true });
      // The models of these fixtures have no tokenizer of their own.
      for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
        cpSync(join(scorers, family === 'modernbert' ? 'modernbert-cls' : family, file), join(base, file));
      }
      const fresh = await make(base, 1);
      expect(Object.keys(weightsOf(fresh))).to.include.members(names as unknown as string[]);
      expect(new Set(await scoresOf(fresh)).size).to.be.above(10);
    });
  }
});

describe('tokenCounter', () => {
  it("counts by a cross-encoder's tokenizer, too", async () => {
    expect(Array.from(await tokenCounter(join(scorers, 'bert-identity'))(['ab c', '']))).to.deep.equal([3, 0]);
  });
});

import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CrossEncoder } from '../lib/index.js';
import type { CrossEncoderOptions } from '../lib/models/cross-encoder.js';
import type { Progress } from '../lib/types.js';
import {
  expectClose,
  readSafetensors,
  temporaryDirectory,
  writeJson,
  writeSafetensors,
  writeTinyModel,
} from './helpers.js';
import { rejection } from './rejection.js';

const fixtures = fileURLToPath(new URL('fixtures/parity', import.meta.url));
const models = join(fixtures, 'cross-encoders');
const FAMILIES = [
  ...['bert', 'bert-identity', 'roberta', 'xlm-roberta', 'mpnet', 'distilbert', 'modernbert-cls', 'modernbert-mean'],
  ...['gte', 'bert-untyped', 'new'],
];

interface Expected {
  pairs: [query: string, passage: string][];
  scores: number[];
}

const expectedOf = (directory: string): Expected => JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8'));
const asPairs = ({ pairs }: Pick<Expected, 'pairs'>) => pairs.map(([query, passage]) => ({ query, passage }));

async function scoresOf(model: string, pairs: Parameters<CrossEncoder['score']>[0], options: CrossEncoderOptions = {}) {
  await using scorer = await CrossEncoder.load(model, options);
  return await scorer.score(pairs);
}

/** A copy of a model with another field in one of its files. */
function changed(name: string, file: string, change: Record<string, unknown>): string {
  const directory = join(temporaryDirectory(), name);
  cpSync(join(models, name), directory, { recursive: true });
  const path = join(directory, file);
  writeJson(path, { ...JSON.parse(readFileSync(path, 'utf8')), ...change });
  return directory;
}

describe('CrossEncoder.score', () => {
  for (const name of FAMILIES) {
    it(`gives the scores of sentence-transformers' CrossEncoder (${name})`, async () => {
      const directory = join(models, name);
      const expected = expectedOf(directory);
      // A model that gives all pairs one score would agree too easily.
      expect(Math.max(...expected.scores) - Math.min(...expected.scores)).to.be.above(0.003);
      expectClose(await scoresOf(directory, asPairs(expected)), expected.scores, { atol: 1e-5 }, 'scores');
    });
  }

  it('gives pairs together what they get one at a time, and takes groups of a query', async () => {
    const directory = join(models, 'bert');
    const pairs = asPairs(expectedOf(directory));
    await using scorer = await CrossEncoder.load(directory, { activation: 'identity' });
    const together = await scorer.score(pairs);
    const alone: number[] = [];
    for (const pair of pairs) alone.push(...(await scorer.score([pair])));
    expectClose(together, alone, { atol: 2e-6 }, 'scores');
    const queries = [...new Set(pairs.map(({ query }) => query))];
    const groups = queries.map((query) => ({
      query,
      passages: pairs.filter((pair) => pair.query === query).map(({ passage }) => passage),
    }));
    expect(await scorer.score(groups)).to.deep.equal(together);
    expect(await scorer.score([])).to.deep.equal(new Float32Array(0));
  });

  it("reads the token types of a pair's two parts", async () => {
    const directory = join(temporaryDirectory(), 'typed');
    cpSync(join(models, 'bert'), directory, { recursive: true });
    const file = join(directory, 'model.safetensors');
    const weights = readSafetensors(file);
    const table = weights['bert.embeddings.token_type_embeddings.weight']!;
    const pairs = asPairs(expectedOf(directory));
    const before = await scoresOf(directory, pairs, { activation: 'identity' });
    table.values.fill(1, 32, 48);
    writeSafetensors(file, weights);
    const after = await scoresOf(directory, pairs, { activation: 'identity' });
    expect(after.every((score, i) => Math.abs(score - before[i]!) > 1e-3)).to.equal(true);
  });

  it('computes pairs in the order of their lengths, so that those of a call are alike', async () => {
    await using scorer = await CrossEncoder.load(join(models, 'bert'));
    const [short, long] = ['a', 'abcdefghij '.repeat(4).trim()];
    const pairs = Array.from({ length: 600 }, (_, i) => ({ query: 'q', passage: i % 2 === 0 ? long : short }));
    const done: number[] = [];
    const scores = await scorer.score(pairs, { onProgress: (progress) => done.push(progress.done) });
    // A call has 8,192 tokens: all 300 short pairs of 5, then long ones of 40.
    expect(done).to.deep.equal([300 + Math.floor((8192 - 300 * 5) / 40), 600]);
    const [one, other] = [scores[0]!, scores[1]!];
    expectClose(
      scores,
      Float32Array.from(pairs, (_, i) => (i % 2 === 0 ? one : other)),
      { atol: 1e-6 },
      'scores',
    );
    expect(Math.abs(one - other)).to.be.above(1e-4);
  });

  it('reports progress, and stops when it is aborted', async () => {
    const pairs = asPairs(expectedOf(join(models, 'bert')));
    await using scorer = await CrossEncoder.load(join(models, 'bert'));
    const seen: Progress[] = [];
    await scorer.score(pairs, { onProgress: (progress) => seen.push(progress) });
    expect(seen.at(-1)).to.deep.equal({ stage: 'scoring', done: 15, total: 15, unit: 'pairs' });
    const reason = new Error('enough');
    expect(await rejection(scorer.score(pairs, { signal: AbortSignal.abort(reason) }))).to.equal(reason);
  });

  it('never cuts a query: one that leaves no room for its passage is refused', async () => {
    const query = 'abcdefgh '.repeat(4).trim();
    const error = await rejection(
      scoresOf(
        join(models, 'bert'),
        [
          { query: 'a', passage: 'b' },
          { query, passage: 'b' },
        ],
        { maxLength: 20 },
      ),
    );
    expect(error).to.have.property('code', 'INVALID_ARGUMENT');
    expect((error as Error).message).to.equal(
      `Expected a text that leaves room for a passage in 20 tokens for the query of pair 1 but received "${query}"; ` +
        'queries are never cut: shorten it, or raise maxLength if the model allows.',
    );
  });

  it('names what is no pair', async () => {
    await using scorer = await CrossEncoder.load(join(models, 'bert'));
    const messages = [
      [[{ query: 'a' }], 'Expected a string for pairs[0].passage but received undefined.'],
      [[{ query: 'a', passages: ['b', 3] }], 'Expected a string for pairs[0].passages[1] but received 3.'],
      [[{ passage: 'b' }], 'Expected a string for pairs[0].query but received undefined.'],
      ['ab', 'Expected an array of {query, passage} for pairs but received "ab".'],
    ];
    for (const [pairs, message] of messages) {
      expect(((await rejection(scorer.score(pairs as never))) as Error).message).to.equal(message);
    }
  });
});

describe('CrossEncoder.load', () => {
  it("takes the activation from the model's config as sentence-transformers does", async () => {
    const { pairs } = expectedOf(join(models, 'bert'));
    const logits = await scoresOf(join(models, 'bert'), asPairs({ pairs }), { activation: 'identity' });
    const sigmoid = logits.map((logit) => 1 / (1 + Math.exp(-logit)));
    const older = changed('bert', 'config.json', {
      sbert_ce_default_activation_function: 'torch.nn.modules.linear.Identity',
    });
    expectClose(await scoresOf(older, asPairs({ pairs })), logits, { atol: 1e-6 }, 'identity by the older field');
    const newer = changed('bert', 'config.json', {
      sentence_transformers: { activation_fn: 'torch.nn.modules.activation.Tanh' },
      sbert_ce_default_activation_function: 'torch.nn.modules.linear.Identity',
    });
    expectClose(
      await scoresOf(newer, asPairs({ pairs })),
      logits.map(Math.tanh),
      { atol: 1e-6 },
      'tanh, which is newer',
    );
    const none = { activation_fn: null };
    const empty = changed('bert-identity', 'config_sentence_transformers.json', none);
    const own = expectedOf(join(models, 'bert-identity'));
    const squashed = own.scores.map((logit) => 1 / (1 + Math.exp(-logit)));
    expectClose(await scoresOf(empty, asPairs(own)), squashed, { atol: 1e-5 }, 'the default');
    expectClose(await scoresOf(join(models, 'bert'), asPairs({ pairs })), sigmoid, { atol: 1e-6 }, 'sigmoid');
    const rectified = changed('bert', 'config.json', {
      sentence_transformers: { activation_fn: 'torch.nn.modules.activation.ReLU' },
    });
    // Logits of both signs, which the fixture's own are not.
    const file = join(rectified, 'model.safetensors');
    const weights = readSafetensors(file);
    const middle = [...logits].sort((a, b) => a - b)[7]!;
    weights['classifier.bias']!.values[0]! -= middle;
    writeSafetensors(file, weights);
    const expected = logits.map((logit) => Math.max(0, logit - middle));
    expect(expected.filter((score) => score === 0)).to.have.length.within(5, 10);
    expectClose(await scoresOf(rectified, asPairs({ pairs })), expected, { atol: 1e-6 }, 'ReLU');
  });

  it('puts the default prompt of config_sentence_transformers.json before each query', async () => {
    const { pairs } = expectedOf(join(models, 'bert-identity'));
    const prompted = changed('bert-identity', 'config_sentence_transformers.json', {
      ...{ prompts: { query: 'qu ', other: 'x ' }, default_prompt_name: 'query' },
    });
    const byHand = asPairs({ pairs }).map(({ query, passage }) => ({ query: `qu ${query}`, passage }));
    const expected = await scoresOf(join(models, 'bert-identity'), byHand);
    expect(await scoresOf(prompted, asPairs({ pairs }))).to.deep.equal(expected);
    expect(expected).to.not.deep.equal(await scoresOf(join(models, 'bert-identity'), asPairs({ pairs })));
    const unused = changed('bert-identity', 'config_sentence_transformers.json', { prompts: { query: 'qu ' } });
    expect(await scoresOf(unused, asPairs({ pairs }))).to.deep.equal(
      await scoresOf(join(models, 'bert-identity'), asPairs({ pairs })),
    );
    const nameless = changed('bert-identity', 'config_sentence_transformers.json', { default_prompt_name: 'query' });
    expect((await rejection(CrossEncoder.load(nameless))).message).to.equal(
      `${nameless}/config_sentence_transformers.json: default_prompt_name "query" is none of the prompts (there are ` +
        'none); Python does not open such a model either. Correct it, or set it to null.',
    );
  });

  it('refuses activations, heads and models that it does not compute, by name', async () => {
    const strange = changed('bert', 'config.json', { sentence_transformers: { activation_fn: 'my.Own' } });
    const messageOf = async (model: string, options = {}) =>
      ((await rejection(CrossEncoder.load(model, options))) as Error).message;
    expect(await messageOf(strange)).to.equal(
      `${strange}/config.json: sentence_transformers.activation_fn "my.Own" is not supported; supported: ` +
        "torch.nn.Identity, torch.nn.Sigmoid, torch.nn.Tanh, torch.nn.ReLU. Set the option activation ('identity' " +
        'gives the logits) to go without it.',
    );
    expect(await messageOf(join(fixtures, 'models', 'bert'))).to.contain(
      'lack classifier.weight, classifier.bias, so this model has no head that scores pairs.',
    );
    expect(await messageOf(writeTinyModel())).to.contain('this is an embedding model and no cross-encoder');
    const labels = changed('bert', 'config.json', {});
    const weights = readSafetensors(join(labels, 'model.safetensors'));
    weights['classifier.weight'] = { shape: [3, 32], values: new Float32Array(96) };
    writeSafetensors(join(labels, 'model.safetensors'), weights);
    expect(await messageOf(labels)).to.equal(
      `${labels}/config.json: a classifier of 3 labels gives no single score; supported: models with one label.`,
    );
    expect(await messageOf(join(models, 'bert'), { maxLength: 3 })).to.contain('for maxLength but received 3');
    expect(await messageOf(join(models, 'bert'), { t5: 'monot5' })).to.contain('nothing for a model of type "bert"');
    expect(await messageOf(join(models, 'bert'), { activation: 'softmax' })).to.contain('for activation');
  });
});

describe('RankT5 and monoT5', () => {
  let directory: string;

  before(function () {
    const python = process.env.LISTWISE_TEST_PYTHON;
    if (!python) {
      console.log('      Skipped: set LISTWISE_TEST_PYTHON to a Python with test/requirements.txt.');
      return this.skip();
    }
    this.timeout(120_000);
    directory = temporaryDirectory();
    execFileSync(python, [join(fixtures, 'make-cross-encoders.py'), 't5', directory], { stdio: 'ignore' });
  });

  for (const name of ['plain-tied', 'gated-untied']) {
    it(`give what transformers' first decoding step gives (${name})`, async () => {
      const model = join(directory, name);
      const expected = JSON.parse(readFileSync(join(model, 'expected.json'), 'utf8'));
      for (const t5 of ['rankt5', 'monot5'] as const) {
        const spread = Math.max(...expected[t5]) - Math.min(...expected[t5]);
        expect(spread).to.be.above(0.05);
        const scores = await scoresOf(model, asPairs(expected), { t5 });
        expectClose(scores, expected[t5], { atol: 1e-5 * Math.max(1, spread) }, t5);
      }
    });
  }

  it('ask how the score is read where the name does not say', async () => {
    const error = (await rejection(CrossEncoder.load(join(directory, 'plain-tied')))) as Error;
    expect(error.message).to.equal(
      "Expected 'rankt5' or 'monot5', as this T5 was trained, for t5 but received undefined.",
    );
  });
});

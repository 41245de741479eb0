import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CrossEncoder } from '../lib/cross-encoder.js';
import type { TrainingList } from '../lib/index.js';
import type { CrossEncoderTrainingOptions } from '../lib/training/cross-encoder-options.js';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { trainCrossEncoder } from '../lib/training/train-cross-encoder.js';
import { skipWithoutPython } from './environment.js';
import { expectClose, readSafetensors, realModel, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

import { TrainingProcess } from './training-process.js';
import { resultOf } from './training-runs.js';
import { trainingTask } from './training-task.js';

const fixtures = fileURLToPath(new URL('fixtures/parity', import.meta.url));
const scorers = join(fixtures, 'cross-encoders');
const { corpus, train, dev } = trainingTask();
const model = writeTinyModel();
const newOutput = () => join(temporaryDirectory(), 'run');
const quick = {
  ...{ model, corpus, batchSize: 10, learningRate: 3e-3, warmupSteps: 2, seed: 7, epochs: 10, patience: 50 },
  ...{ checkpointEvery: 3, evaluateEvery: 5 },
};

/** The lists with letters in common as labels, and 0 for all but the best two. */
function graded(lists: readonly TrainingList[]): TrainingList[] {
  return lists.map((list) => ({
    ...list,
    passages: list.passages.map(({ id, score }, i) => ({ id, score: i < 2 ? Math.max(score, 0.1) : 0 })),
  }));
}

const pairs = train
  .slice(0, 4)
  .flatMap(({ query, passages }) => passages.map(({ id }) => ({ query, passage: corpus.get(id)! })));

async function scoresOf(directory: string): Promise<Float32Array> {
  await using scorer = await CrossEncoder.load(directory);
  return await scorer.score(pairs);
}

const weightsOf = (directory: string) => readSafetensors(join(directory, 'model.safetensors'));

describe('trainCrossEncoder', () => {
  for (const [loss, labels] of [
    ['listwise', 'first'],
    ['listwise', 'scores'],
    ['bce', 'scores'],
  ] as const) {
    it(`makes a cross-encoder of an encoder, and brings its loss down (${loss}, labels: ${labels})`, async () => {
      const output = newOutput();
      const lists = graded(train);
      const options = { ...quick, lists, dev: lists, loss, labels, output, epochs: 12 };
      const result = await trainCrossEncoder(options);
      expect(result).to.include({ steps: 48, stopped: 'epochs', directory: join(output, 'model') });
      expect(result.best!.loss).to.be.below(0.8 * result.base!.loss);
      expect(result).to.not.have.property('teacherTemperature');
      expect(readdirSync(output).sort()).to.deep.equal(['log.jsonl', 'model', 'training.json']);
      const scores = await scoresOf(result.directory);
      const first = scores.filter((_, i) => i % 6 === 0);
      const last = scores.filter((_, i) => i % 6 === 5);
      expect(mean(first)).to.be.above(mean(last));
    });
  }

  it('logs each step and evaluation with the loss alone, and says what was trained', async () => {
    const output = newOutput();
    const steps: object[] = [];
    const onStep = (step: object) => steps.push(step);
    await trainCrossEncoder({ ...quick, lists: train, dev, output, epochs: 1, onStep });
    const log = readFileSync(join(output, 'log.jsonl'), 'utf8').trim().split('\n');
    const [start, ...records] = log.map((line) => JSON.parse(line));
    expect(start).to.deep.include({ kind: 'start', totalSteps: 4, loss: 'listwise', labels: 'first' });
    expect(records.map(({ kind, step }) => `${kind} ${step}`)).to.deep.equal([
      ...['evaluation 0', 'plan 1', 'step 1', 'step 2', 'step 3', 'step 4', 'evaluation 4'],
    ]);
    const [evaluation, , step] = records;
    expect(evaluation).to.have.all.keys('kind', 'step', 'epoch', 'loss', 'isBest', 'seconds');
    expect(step).to.include({ epoch: 1, learningRate: 0, queries: 10, slots: 60 });
    expect(step).to.not.have.any.keys('listwise', 'contrastive', 'uniquePassages');
    expect(step.tokens).to.be.above(60 * 4);
    expect(steps).to.deep.equal(records.filter(({ kind }) => kind === 'step'));
    const summary = JSON.parse(readFileSync(join(output, 'training.json'), 'utf8'));
    expect(summary.options).to.include({ loss: 'listwise', labels: 'first', batchSize: 10 });
    expect(summary.inputs.options).to.include({ maxLength: 40, precision: 'fp32' });
  });

  it('trains a cross-encoder further with its own head, activation and files', async () => {
    const base = join(scorers, 'bert-identity');
    const { directory } = await trainCrossEncoder({
      ...quick,
      model: base,
      lists: train,
      output: newOutput(),
      maxSteps: 4,
    });
    const kept = ['config.json', 'modules.json', 'config_sentence_transformers.json', 'tokenizer.json'];
    for (const file of kept) {
      expect(readFileSync(join(directory, file), 'utf8'), file).to.equal(readFileSync(join(base, file), 'utf8'));
    }
    const [before, after] = [weightsOf(base), weightsOf(directory)];
    expect(Object.keys(after)).to.have.members(Object.keys(before));
    for (const name of [
      'classifier.weight',
      'bert.pooler.dense.weight',
      'bert.embeddings.token_type_embeddings.weight',
    ])
      expect(after[name], name).to.not.deep.equal(before[name]);
  });

  it("trains with the default prompt of the base's config before each query, as it is scored with", async () => {
    const base = join(scorers, 'bert-identity');
    const prompted = join(temporaryDirectory(), 'prompted');
    cpSync(base, prompted, { recursive: true });
    const file = join(prompted, 'config_sentence_transformers.json');
    const config = { ...JSON.parse(readFileSync(file, 'utf8')), prompts: { ask: 'qu ' }, default_prompt_name: 'ask' };
    writeFileSync(file, JSON.stringify(config));
    const byHand = train.map((list) => ({ ...list, query: `qu ${list.query}` }));
    const options = { ...quick, maxSteps: 2 };
    const weights = [];
    for (const [model, lists] of [
      [prompted, train],
      [base, byHand],
      [base, train],
    ] as const) {
      const { directory } = await trainCrossEncoder({ ...options, model, lists, output: newOutput() });
      weights.push(weightsOf(directory)['classifier.weight']);
    }
    expect(weights[0]).to.deep.equal(weights[1]);
    expect(weights[0]).to.not.deep.equal(weights[2]);
  });

  it('goes on after an abort, and after a kill, with the same bits', async function () {
    this.timeout(60_000);
    const [whole, aborted, killed] = [newOutput(), newOutput(), newOutput()];
    const options = { ...quick, lists: train, dev };
    await trainCrossEncoder({ ...options, output: whole });
    const stop = new AbortController();
    const reason = new Error('stopped on purpose');
    const onStep = ({ step }: { step: number }) => step === 8 && stop.abort(reason);
    const stopped = trainCrossEncoder({ ...options, output: aborted, signal: stop.signal, onStep });
    expect(await rejection(stopped)).to.equal(reason);
    const { corpus: _, ...plain } = quick;
    const process = new TrainingProcess({ ...plain, trains: 'cross-encoder', output: killed });
    await process.said(0);
    process.go();
    await process.stepped(8);
    process.kill();
    expect(await process.ended).to.include({ signal: 'SIGKILL' });
    for (const output of [aborted, killed]) {
      expect(existsSync(join(output, 'checkpoints'))).to.equal(true);
      const events: TrainingEvent[] = [];
      await trainCrossEncoder({ ...options, output, onEvent: (event) => events.push(event) });
      expect(events[0]).to.include({ kind: 'resumed' });
      expect((events[0] as { step: number }).step).to.be.at.least(6);
      expect(resultOf(output)).to.deep.equal(resultOf(whole));
    }
  });

  it('gives the result of a finished run again, and starts anew in its place only where that is agreed', async () => {
    const output = newOutput();
    const options = { ...quick, lists: graded(train), dev: graded(dev), output, maxSteps: 2 };
    const first = await trainCrossEncoder(options);
    const hear = async (change: Partial<CrossEncoderTrainingOptions>) => {
      const events: TrainingEvent[] = [];
      const result = await trainCrossEncoder({ ...options, ...change, onEvent: (event) => events.push(event) });
      return { result, kinds: events.map(({ kind }) => kind) };
    };
    // Its lists are read again, and with them what their scores look like.
    expect(await hear({})).to.deep.equal({ result: first, kinds: ['labels', 'finished'] });
    const { message } = await rejection(trainCrossEncoder({ ...options, labels: 'scores' }));
    expect(message).to.include('labels changed from "first" to "scores", the lists changed');
    expect(readdirSync(output).sort()).to.deep.equal(['log.jsonl', 'model', 'training.json']);
    const replacing = { labels: 'scores', onReplace: () => true } as const;
    expect((await hear(replacing)).kinds).to.deep.equal(['anew', 'plan']);
  });

  it('trains on several sets, and stops for want of gain', async () => {
    const sets = [
      { name: 'a', lists: train.slice(0, 20), dev: dev.slice(0, 5) },
      { name: 'b', lists: train.slice(20), dev: dev.slice(5) },
    ];
    const result = await trainCrossEncoder({
      ...quick,
      lists: sets,
      output: newOutput(),
      learningRate: 1e-9,
      patience: 2,
    });
    expect(result.stopped).to.equal('patience');
    expect(result.lists.sets!.map(({ name, train: size }) => `${name} ${size}`)).to.deep.equal(['a 20', 'b 20']);
    expect(result.base!.sets!.map((set) => Object.keys(set).sort())).to.deep.equal([
      ['lists', 'loss', 'name'],
      ['lists', 'loss', 'name'],
    ]);
  });

  it('refuses labels that cannot be, naming the query and, for a file, where it is', async () => {
    const file = join(temporaryDirectory(), 'lists.jsonl');
    const withLabel = (label: number, all = false) =>
      graded(train).map((list, i) =>
        i === 3
          ? { ...list, passages: list.passages.map((one, j) => (all || j === 1 ? { ...one, score: label } : one)) }
          : list,
      );
    const messageOf = async (lists: TrainingList[], change: Partial<CrossEncoderTrainingOptions> = {}) => {
      writeFileSync(file, lists.map((list) => `${JSON.stringify(list)}\n`).join(''));
      const options = { ...quick, labels: 'scores', ...change } as const;
      const ofFile = await rejection(trainCrossEncoder({ ...options, lists: file, output: newOutput() }));
      const atHand = await rejection(trainCrossEncoder({ ...options, lists, output: newOutput() }));
      expect(ofFile).to.include({ code: 'BAD_DATA', message: `${file}: ${atHand.message}` });
      return atHand.message;
    };
    const passage = train[3]!.passages[1]!.id;
    expect(await messageOf(withLabel(0, true))).to.equal(
      'The list of query "q3" has no positive: all its labels are 0. Loss \'listwise\' needs one above 0 in each list; ' +
        "leave the list out, or give loss 'bce'.",
    );
    expect(await messageOf(withLabel(-1))).to.equal(
      `The list of query "q3" has the label -1 for passage "${passage}"; expected labels of at least 0.`,
    );
    expect(await messageOf(withLabel(2), { loss: 'bce' })).to.equal(
      `The list of query "q3" has the label 2 for passage "${passage}"; expected labels from 0 to 1, as loss 'bce' needs them.`,
    );
    const bad = {
      ...train[0]!,
      passages: [
        { id: 'p1', score: Number.NaN },
        { id: 'p2', score: 0 },
      ],
    };
    const error = await rejection(trainCrossEncoder({ ...quick, lists: [bad], output: newOutput() }));
    expect(error.message).to.equal('Expected a finite number for lists[0].passages[0].score but received NaN.');
  });

  it('refuses what it cannot train, by name', async () => {
    const messageOf = async (change: object) =>
      (await rejection(trainCrossEncoder({ ...quick, lists: train, output: newOutput(), ...change }))).message;
    expect(await messageOf({ model: join(fixtures, 'models', 't5-encoder') })).to.match(
      /t5-encoder is a T5, which scores pairs by a step of its decoder; that is computed forward only\. Train from a BERT/,
    );
    expect(await messageOf({ loss: 'hinge' })).to.equal(
      "Expected 'listwise' or 'bce' for loss but received \"hinge\".",
    );
    expect(await messageOf({ labels: 'all' })).to.equal(
      "Expected 'first' or 'scores' for labels but received \"all\".",
    );
    expect(await messageOf({ teacherTemperature: 1 })).to.match(
      /^trainCrossEncoder has no option "teacherTemperature"; /,
    );
    expect(await messageOf({ maxLength: 41 })).to.match(/^Expected a whole number from 3 to 40, .* maxLength .* 41\.$/);
    const output = newOutput();
    await messageOf({ maxLength: 41, output });
    expect(readdirSync(output), 'what is left of it').to.deep.equal([]);
    const long = train.map((list, i) => (i === 2 ? { ...list, query: 'abcd '.repeat(12) } : list));
    expect(await messageOf({ lists: long })).to.equal(
      'The list of query "q2" has a query of more than 39 tokens, which leaves no room for a passage in 40; shorten it, ' +
        'or raise maxLength if the model allows.',
    );
    const own = newOutput();
    cpSync(model, own, { recursive: true });
    expect(await messageOf({ model: own, output: join(own, 'runs') })).to.match(/outside of the base model's/);
  });

  it('says so at numbers that are not finite, with the queries', async () => {
    const options = {
      ...quick,
      lists: train,
      dev,
      output: newOutput(),
      learningRate: 1e38,
      warmupSteps: 1,
      weightDecay: 0,
    };
    const error = (await rejection(trainCrossEncoder(options))) as Error & { queryIds?: string[]; code?: string };
    expect(error.code).to.equal('NOT_FINITE');
    expect(error.message).to.match(/Try a lower learningRate, and look at the batch's queries: q\d+, /);
    expect(error.queryIds).to.have.length(10);
  });

  it("gives models that Python's CrossEncoder opens, with the same scores", async function () {
    skipWithoutPython(this);
    const directories: string[] = [];
    const bases = [
      { model: realModel, maxLength: 64, learningRate: 1e-4 },
      { model: join(scorers, 'bert'), loss: 'bce' as const },
      { model: join(scorers, 'roberta') },
      // Its tokenizer gives no second type, though the model reads types.
      { model: join(scorers, 'bert-untyped') },
    ];
    for (const change of bases) {
      const output = newOutput();
      directories.push((await trainCrossEncoder({ ...quick, lists: train, output, maxSteps: 4, ...change })).directory);
    }
    const program = [
      'import json, sys',
      'from sentence_transformers import CrossEncoder',
      'given = json.load(sys.stdin)',
      'opened = [CrossEncoder(one, device="cpu") for one in given["models"]]',
      'assert all(one.config.num_labels == 1 for one in opened)',
      'print(json.dumps([[one.max_length, one.predict(given["pairs"]).tolist()] for one in opened]))',
    ].join('\n');
    const asPairs = pairs.map(({ query, passage }) => [query, passage]);
    const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
    const input = JSON.stringify({ models: directories, pairs: asPairs });
    const { stdout, stderr } = spawnSync(python, ['-c', program], { input, encoding: 'utf8' });
    expect(stdout, stderr).to.match(/^\[/m);
    const expected: [number, number[]][] = JSON.parse(stdout.trim().split('\n').at(-1)!);
    for (const [i, [maxLength, scores]] of expected.entries()) {
      expect(maxLength).to.equal(bases[i]!.maxLength ?? 40);
      expect(Math.max(...scores) - Math.min(...scores)).to.be.above(0.005);
      expectClose(await scoresOf(directories[i]!), scores, { atol: 1e-5 }, `scores of model ${i}`);
    }
  });
});

function mean(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

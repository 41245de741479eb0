import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { meanEntropy } from '../lib/training/temperature.js';
import { trainListwise } from '../lib/training/train.js';
import { embeddingsInPython, pausesDuring, skipWithoutPython } from './environment.js';
import { expectClose, norm, readSafetensors, realModel, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { trainingTask } from './training-task.js';

describe('trainListwise', () => {
  const { corpus, train, dev } = trainingTask();
  const model = writeTinyModel();
  const quick = { model, corpus, batchSize: 10, learningRate: 3e-3, warmupSteps: 2, seed: 7 };
  const output = () => join(temporaryDirectory(), 'run');
  const readLog = (directory: string) =>
    readFileSync(join(directory, 'log.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));

  it('brings the loss on dev down and keeps the best weights', async () => {
    const directory = output();
    const result = await trainListwise({ ...quick, lists: train, dev, output: directory, epochs: 8, patience: 8 });
    expect(result).to.include({ steps: 32, stopped: 'epochs', directory: join(directory, 'model') });
    expect(result.base).to.include({ step: 0, isBest: true });
    expect(result.best!.loss).to.be.below(0.9 * result.base!.loss);
    expect(result.best!.loss).to.equal(Math.min(...result.evaluations.map((one) => one.loss)));
    expect(result.lists).to.deep.equal({ train: 40, dev: 10, listLength: 6, passages: 60 });
    await using base = await Embedder.load(model);
    await using trained = await Embedder.load(result.directory);
    const [before, after] = await Promise.all([base, trained].map((one) => one.encode(['some text'])));
    expect(norm(after!.map((value, i) => value - before![i]!)), 'the embeddings changed').to.be.above(0.01);
  });

  it('logs every step and evaluation, and sums the run up', async () => {
    const directory = output();
    const steps: unknown[] = [];
    const result = await trainListwise({
      ...quick,
      lists: train,
      dev,
      output: directory,
      epochs: 2,
      onStep: (step) => steps.push(step),
    });
    const [start, ...records] = readLog(directory);
    expect(start).to.include({
      kind: 'start',
      totalSteps: 8,
      warmupSteps: 2,
      teacherTemperature: result.teacherTemperature,
    });
    expect(records.map(({ kind, step }) => `${kind} ${step}`)).to.deep.equal([
      ...['evaluation 0', 'plan 1', 'step 1', 'step 2', 'step 3', 'step 4', 'evaluation 4'],
      ...['step 5', 'step 6', 'step 7', 'step 8', 'evaluation 8'],
    ]);
    const first = records.find(({ kind }) => kind === 'step');
    expect(first).to.include({ epoch: 1, learningRate: 0, queries: 10, slots: 60 });
    expect(first.uniqueShare).to.equal(first.uniquePassages / 60);
    expect(first.loss).to.be.closeTo(first.listwise + 0.1 * first.contrastive, 1e-12);
    for (const field of ['gradNorm', 'tokens', 'tokensPerSecond', 'seconds'])
      expect(first[field], field).to.be.above(0);
    expect(first.waitSeconds).to.be.at.least(0);
    expect(steps).to.deep.equal(records.filter(({ kind }) => kind === 'step'));
    const summary = JSON.parse(readFileSync(join(directory, 'training.json'), 'utf8'));
    expect(summary).to.deep.include({ steps: 8, stopped: 'epochs', evaluations: result.evaluations });
    expect(summary.options).to.include({ batchSize: 10, seed: 7, lists: 40, dev: 10 });
  });

  it('gives the same weights for the same seed, and others for another', async () => {
    const weights = async (seed: number) => {
      const { directory } = await trainListwise({ ...quick, lists: train, output: output(), epochs: 2, seed });
      return readSafetensors(join(directory, 'model.safetensors'));
    };
    const first = await weights(7);
    expect(await weights(7)).to.deep.equal(first);
    expect(await weights(8)).to.not.deep.equal(first);
  });

  it('matches the temperature of the teacher to the base model, or takes the one given', async () => {
    const matched = await trainListwise({ ...quick, lists: train, output: output(), maxSteps: 1 });
    const { temperatureMatch: match } = matched;
    expect(match).to.include({ lists: 40 });
    expect(match!.teacherEntropy).to.be.closeTo(match!.studentEntropy, 1e-6);
    await using base = await Embedder.load(model);
    const entropies = await Promise.all(
      train.map(async ({ query, passages }) => {
        const [[q], p] = [[await base.encode([query])], await base.encode(passages.map(({ id }) => corpus.get(id)!))];
        const scores = passages.map((_, j) => q!.reduce((sum, value, k) => sum + value * p[j * q!.length + k]!, 0));
        return await meanEntropy({ scores, listLength: scores.length }, 0.05);
      }),
    );
    expect(match!.studentEntropy).to.be.closeTo(entropies.reduce((sum, one) => sum + one) / 40, 1e-5);
    const given = await trainListwise({
      ...quick,
      lists: train,
      output: output(),
      maxSteps: 1,
      teacherTemperature: 0.3,
    });
    expect(given).to.include({ teacherTemperature: 0.3 }).and.not.have.property('temperatureMatch');
  });

  it('reads lists from a file or an array, with texts in place of ids and a corpus', async () => {
    const file = join(temporaryDirectory(), 'lists.jsonl');
    const bare = train.map(({ query, passages }) => ({
      query,
      passages: passages.map(({ id, score }) => ({ text: corpus.get(id)!, score })),
    }));
    writeFileSync(file, bare.map((line) => JSON.stringify(line)).join('\n'));
    const { corpus: _, ...rest } = quick;
    const runs = [
      await trainListwise({ ...quick, lists: train, output: output(), epochs: 1 }),
      await trainListwise({ ...rest, lists: file, output: output(), epochs: 1 }),
      await trainListwise({ ...rest, lists: bare, output: output(), epochs: 1 }),
    ];
    const [first, ...others] = runs.map((one) => readSafetensors(join(one.directory, 'model.safetensors')));
    for (const [i, other] of others.entries()) {
      expect(runs[i + 1]!.lists).to.deep.equal(runs[0]!.lists);
      expect(other).to.deep.equal(first);
    }
  });

  it('cuts lists of differing lengths, of a file too, and looks at a sample for the temperature if told to', async () => {
    const ragged = train.map((list, i) => ({ ...list, passages: list.passages.slice(0, 4 + (i % 3)) }));
    const file = join(temporaryDirectory(), 'lists.jsonl');
    writeFileSync(file, ragged.map((list) => JSON.stringify(list)).join('\n'));
    for (const lists of [file, ragged]) {
      const cut = { ...quick, lists, output: output(), maxSteps: 1, listLength: 4, temperatureLists: 7 };
      const result = await trainListwise(cut);
      expect(result.lists.listLength).to.equal(4);
      expect(result.temperatureMatch).to.include({ lists: 7 });
    }
    expect((await rejection(trainListwise({ ...quick, lists: file, output: output() }))).message).to.include(
      `${file}:2 (field "passages"): Expected 4 passages, as on line 1, but found 5;`,
    );
  });

  it('cuts lists to listLength', async () => {
    const result = await trainListwise({ ...quick, lists: train, output: output(), maxSteps: 1, listLength: 4 });
    expect(result.lists.listLength).to.equal(4);
    const error = await rejection(trainListwise({ ...quick, lists: train, output: output(), listLength: 7 }));
    expect(error.message).to.equal(
      'Expected at most 6, the passages of the shortest list, for listLength but received 7.',
    );
  });

  it('evaluates every so many steps and stops when patience is at its end', async () => {
    const result = await trainListwise({
      ...quick,
      lists: train,
      dev,
      output: output(),
      learningRate: 1e-12,
      evaluateEvery: 3,
      patience: 2,
    });
    expect(result.evaluations.map(({ step }) => step).slice(0, 2)).to.deep.equal([0, 3]);
    expect(result.stopped).to.equal('patience');
    expect(result.steps).to.be.below(120);
  });

  it('keeps the base weights where training only makes dev worse', async () => {
    // What was learnt well from lists gets lost by learning their reverse.
    const listwise = { ...quick, teacherTemperature: 0.1, contrastiveWeight: 0 };
    const { directory: trained } = await trainListwise({ ...listwise, lists: train, output: output(), epochs: 20 });
    const upsideDown = train.map((list) => ({
      ...list,
      passages: list.passages.map(({ id, score }) => ({ id, score: 1 - score })).reverse(),
    }));
    const result = await trainListwise({
      ...listwise,
      model: trained,
      output: output(),
      lists: upsideDown,
      dev: train,
    });
    expect(result.stopped).to.equal('patience');
    expect(result.evaluations).to.have.length(3);
    expect(result.best).to.deep.equal(result.base);
    const [kept, base] = [result.directory, trained].map((one) => readSafetensors(join(one, 'model.safetensors')));
    expect(kept).to.deep.equal(base);
  });

  it('replaces what an earlier run left, where that is agreed to', async () => {
    const directory = output();
    await trainListwise({ ...quick, lists: train, output: directory, maxSteps: 3 });
    const replacing = { ...quick, lists: train, output: directory, maxSteps: 2, onReplace: () => true };
    const again = await trainListwise(replacing);
    expect(readLog(directory).filter(({ kind }) => kind === 'step')).to.have.length(2);
    const fresh = await trainListwise({ ...quick, lists: train, output: output(), maxSteps: 2 });
    const [a, b] = [again, fresh].map((one) => readSafetensors(join(one.directory, 'model.safetensors')));
    expect(a).to.deep.equal(b);
  });

  it('reports steps, tokens and dev queries as they are done', async () => {
    const stages = new Map<string, number>();
    await trainListwise({
      ...quick,
      lists: train,
      dev,
      output: output(),
      epochs: 1,
      onProgress: ({ stage, done, total }) => {
        // Texts are tokenised as lists are read, and nobody knows yet how many there are.
        if (stage === 'tokenizing' && total === 0) return;
        expect(done, stage).to.be.at.most(total);
        stages.set(stage, done / total);
      },
    });
    expect(Object.fromEntries(stages)).to.include({ tokenizing: 1, temperature: 1, evaluation: 1, training: 1 });
  });

  it('does not hold up the event loop, with real weights', async () => {
    const options = { ...quick, model: realModel, lists: train.slice(0, 10), dev: dev.slice(0, 2), output: output() };
    const { busy, late, work } = await pausesDuring((restart) => {
      // The model is loaded when the first progress is reported.
      let isLoaded = false;
      const onProgress = () => {
        if (!isLoaded) restart();
        isLoaded = true;
      };
      return trainListwise({ ...options, maxSteps: 3, onProgress });
    });
    expect(work, 'the work lasts long enough to tell').to.be.above(500);
    expect(busy).to.be.below(50);
    expect(late).to.be.below(0.05);
  });

  it("gives a model that Python's sentence-transformers opens, with the same embeddings", async function () {
    skipWithoutPython(this);
    const { directory } = await trainListwise({
      ...quick,
      lists: train,
      output: output(),
      epochs: 2,
      queryPrefix: 'ask ',
    });
    await using trained = await Embedder.load(directory);
    expect(trained.settings.queryPrefix).to.equal('ask ');
    const texts = ['one text', 'and another that is longer', ''];
    const expected = await embeddingsInPython(directory, texts);
    for (const kind of ['query', 'passage'] as const) {
      expectClose(await trained.encode(texts, { kind }), expected[kind], { atol: 1e-5 }, `${kind} embeddings`);
    }
  });
});

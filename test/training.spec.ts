import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { Random } from '../lib/random.js';
import { type Batching, epochBatches, makeBatch } from '../lib/training/batches.js';
import { judgeEvaluation, NOTHING_SEEN } from '../lib/training/early-stopping.js';
import { settleOptions, type TrainingOptions } from '../lib/training/options.js';
import { learningRateAt, planSteps } from '../lib/training/schedule.js';
import { matchTemperature, meanEntropy } from '../lib/training/temperature.js';
import { trainListwise } from '../lib/training/train.js';
import type { TrainingSet } from '../lib/training/training-set.js';
import type { TrainingList } from '../lib/types.js';
import { embeddingsInPython, longestPause, skipWithoutPython } from './environment.js';
import { expectClose, norm, randomTexts, readSafetensors, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

const losses = (listwise: number, loss: number) => ({ listwise, contrastive: 0, loss });

describe('learningRateAt', () => {
  it('rises from 0 to the highest rate at the end of the warm-up, then falls to the floor', () => {
    const schedule = { learningRate: 1, warmupSteps: 4, totalSteps: 24, minimumRateShare: 0.1 };
    const rates = [0, 1, 2, 4, 5, 14, 22, 23].map((step) => learningRateAt(step, schedule));
    expectClose(rates, [0, 0.25, 0.5, 1, 0.95, 0.5, 0.1, 0.1], { atol: 1e-12 });
  });

  it('starts at the highest rate without a warm-up', () => {
    expect(learningRateAt(0, { learningRate: 2, warmupSteps: 0, totalSteps: 4, minimumRateShare: 0 })).to.equal(2);
  });
});

describe('planSteps', () => {
  it('drops the last partial batch and warms up for half an epoch', () => {
    expect(planSteps({ lists: 105, batchSize: 2, epochs: 3 })).to.deep.equal({
      stepsPerEpoch: 52,
      totalSteps: 156,
      warmupSteps: 26,
    });
  });

  it('makes one batch of a set that is smaller, and warms up for 10 steps at least', () => {
    expect(planSteps({ lists: 7, batchSize: 4096, epochs: 30 })).to.deep.equal({
      stepsPerEpoch: 1,
      totalSteps: 30,
      warmupSteps: 10,
    });
  });

  it('ends at maxSteps, with the warm-up of the run that is left', () => {
    expect(planSteps({ lists: 1000, batchSize: 1, epochs: 30, maxSteps: 40 })).to.include({
      totalSteps: 40,
      warmupSteps: 20,
    });
    expect(planSteps({ lists: 1000, batchSize: 1, epochs: 30, maxSteps: 40, warmupSteps: 3 }).warmupSteps).to.equal(3);
  });
});

describe('judgeEvaluation', () => {
  it('stops when neither loss has improved for as long as patience says, and keeps the lowest whole loss', () => {
    let state = NOTHING_SEEN;
    const seen = [losses(1, 2), losses(0.9, 2.1), losses(0.95, 1.9), losses(0.95, 1.95), losses(0.9, 1.9)].map(
      (one, step) => {
        const judged = judgeEvaluation(state, { losses: one, step, patience: 2 });
        state = judged.state;
        return [judged.isBest, judged.shouldStop];
      },
    );
    expect(seen).to.deep.equal([
      [true, false],
      [false, false],
      [true, false],
      [false, false],
      [false, true],
    ]);
    expect(state).to.deep.equal({ bestListwise: 0.9, bestLoss: 1.9, bestStep: 2, withoutImprovement: 2 });
  });
});

describe('meanEntropy', () => {
  it('is log L for equal scores, 0 for one far above the rest, and as by definition between', () => {
    expect(meanEntropy({ scores: [3, 3, 3, 3], listLength: 4 }, 1)).to.be.closeTo(Math.log(4), 1e-12);
    expect(meanEntropy({ scores: [1, 0, 0, 0], listLength: 4 }, 1e-3)).to.be.closeTo(0, 1e-12);
    const p = [1, 2, 0.5].map((score) => Math.exp(score / 0.7));
    const z = p.reduce((sum, one) => sum + one);
    const byDefinition = -p.reduce((sum, one) => sum + (one / z) * Math.log(one / z), 0);
    expect(meanEntropy({ scores: [1, 2, 0.5], listLength: 3 }, 0.7)).to.be.closeTo(byDefinition, 1e-12);
    expect(meanEntropy({ scores: [1, 2, 0.5, 3, 3, 3], listLength: 3 }, 0.7)).to.be.closeTo(
      (byDefinition + Math.log(3)) / 2,
      1e-12,
    );
  });
});

describe('matchTemperature', () => {
  const random = Random.for(1, 'scores');
  const scores = Array.from({ length: 50 * 20 }, () => random.float());

  for (const target of [0.5, 1.67, 2.6]) {
    it(`finds the temperature with mean entropy ${target}`, () => {
      const match = matchTemperature({ scores, listLength: 20 }, target);
      expect(match.teacherEntropy).to.be.closeTo(target, 1e-9);
      expect(meanEntropy({ scores, listLength: 20 }, match.temperature)).to.be.closeTo(target, 1e-9);
      expect(match).to.include({ studentEntropy: target, lists: 50 }).and.not.have.property('bound');
    });
  }

  it('does not depend on the scale of the scores', () => {
    const [small, large] = [1, 100].map((scale) =>
      matchTemperature({ scores: scores.map((s) => s * scale), listLength: 20 }, 1),
    );
    expect(large!.temperature / small!.temperature).to.be.closeTo(100, 1e-6);
  });

  it('takes a bound where the teacher is too flat or too peaked to match', () => {
    const flat = matchTemperature({ scores: new Array(40).fill(0.5), listLength: 20 }, 1);
    expect(flat.bound).to.equal('lowest');
    expect(flat.temperature).to.be.closeTo(0.01, 1e-12);
    expect(flat.teacherEntropy).to.be.closeTo(Math.log(20), 1e-9);
    const sharp = matchTemperature({ scores: [1, 0, 0, 0], listLength: 4 }, Math.log(4));
    expect(sharp.bound).to.equal('highest');
    expect(sharp.temperature).to.be.closeTo(10, 1e-9);
  });
});

/** Lists over few passages: list i holds the passages of its group. */
function groupedSet(groups: number, perGroup: number, listLength: number): TrainingSet {
  const random = Random.for(1, 'groups');
  const size = groups * perGroup;
  const rows = new Int32Array(size * listLength);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < listLength; j++)
      rows[i * listLength + j] = (i % groups) * 2 * listLength + random.integer(2 * listLength);
  }
  const offsets = Int32Array.from({ length: size + 1 }, (_, i) => i);
  const ids = Array.from({ length: size }, (_, i) => `q${i}`);
  return {
    size,
    listLength,
    ids,
    queries: { ids: new Int32Array(size), offsets },
    rows,
    teacher: new Float64Array(rows.length),
  };
}

describe('epochBatches', () => {
  const set = groupedSet(40, 16, 8);

  for (const batching of ['random', 'clustered'] satisfies Batching[]) {
    describe(batching, () => {
      const options = { batchSize: 30, batching, seed: 3, epoch: 0 };

      it('uses each list at most once, and leaves out what does not fill a batch', async () => {
        const batches = await epochBatches(set, options);
        expect(batches.map((batch) => batch.length)).to.deep.equal(new Array(21).fill(30));
        expect(new Set(batches.flatMap((batch) => [...batch]))).to.have.property('size', 630);
      });

      it('depends on seed and epoch alone', async () => {
        const first = await epochBatches(set, options);
        expect(await epochBatches(set, options)).to.deep.equal(first);
        expect(await epochBatches(set, { ...options, epoch: 1 })).to.not.deep.equal(first);
        expect(await epochBatches(set, { ...options, seed: 4 })).to.not.deep.equal(first);
      });

      it('leaves out other lists in another epoch', async () => {
        const leftOut = async (epoch: number) => {
          const used = new Set((await epochBatches(set, { ...options, epoch })).flatMap((batch) => [...batch]));
          return set.ids.map((_, i) => i).filter((i) => !used.has(i));
        };
        expect(await leftOut(0))
          .to.have.length(10)
          .and.not.deep.equal(await leftOut(1));
      });

      it('makes one batch of a set that is smaller than one', async () => {
        const [batch, ...more] = await epochBatches(groupedSet(2, 3, 4), options);
        expect(more).to.deep.equal([]);
        expect([...batch!].sort()).to.deep.equal([0, 1, 2, 3, 4, 5]);
      });
    });
  }

  it('clusters lists that share passages', async () => {
    const distinct = async (batching: Batching) => {
      const batches = await epochBatches(set, { batchSize: 30, batching, seed: 3, epoch: 0 });
      const counts = batches.map(
        (batch) => new Set([...batch].flatMap((i) => [...set.rows.subarray(i * 8, i * 8 + 8)])).size,
      );
      return counts.reduce((sum, count) => sum + count) / counts.length;
    };
    expect(await distinct('clustered')).to.be.below(0.5 * (await distinct('random')));
  });
});

describe('makeBatch', () => {
  it('holds each passage once, and rows that lead back to what the lists name', async () => {
    const set: TrainingSet = {
      ...{ size: 3, listLength: 2, ids: ['a', 'b', 'c'] },
      queries: { ids: Int32Array.of(10, 11, 11, 12, 12, 12), offsets: Int32Array.of(0, 1, 3, 6) },
      rows: Int32Array.of(2, 0, 1, 2, 0, 2),
      teacher: Float64Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    };
    const passages = { ids: Int32Array.of(5, 6, 6, 7, 7, 7), offsets: Int32Array.of(0, 1, 3, 6) };
    expect(await makeBatch(set, passages, Int32Array.of(2, 0))).to.deep.equal({
      lists: Int32Array.of(2, 0),
      queries: { ids: Int32Array.of(12, 12, 12, 10), offsets: Int32Array.of(0, 3, 4) },
      passages: { ids: Int32Array.of(5, 7, 7, 7), offsets: Int32Array.of(0, 1, 4) },
      rows: Int32Array.of(0, 1, 1, 0),
      teacher: Float64Array.of(0.5, 0.6, 0.1, 0.2),
      listLength: 2,
    });
  });
});

describe('settleOptions', () => {
  const given = { model: 'm', lists: 'l.jsonl', output: 'o' };

  it("has the papers' defaults", () => {
    expect(settleOptions(given)).to.include({
      ...{
        epochs: 30,
        batchSize: 4096,
        learningRate: 2e-4,
        minimumRateShare: 0.1,
        weightDecay: 0.01,
        clip: 1,
        patience: 2,
      },
      ...{
        studentTemperature: 0.05,
        teacherTemperature: 'match',
        contrastiveTemperature: 0.01,
        contrastiveWeight: 0.1,
      },
      ...{ listwiseWeight: 1, maskThreshold: 0.6, batching: 'random' },
    });
    expect(settleOptions({ ...given, epochs: undefined, batchSize: 8 })).to.include({ epochs: 30, batchSize: 8 });
  });

  const wrong: [object, string][] = [
    [{ learningrate: 1 }, 'trainListwise has no option "learningrate"; did you mean "learningRate"?'],
    [{ temprature: 1 }, 'trainListwise has no option "temprature"; there are'],
    [{ model: '' }, 'Expected a path that is not empty for model but received "".'],
    [{ output: undefined }, 'Expected a path that is not empty for output but received undefined.'],
    [{ batchSize: 0 }, 'Expected a whole number above 0 for batchSize but received 0.'],
    [{ epochs: '3' }, 'Expected a whole number above 0 for epochs but received "3".'],
    [{ learningRate: -1 }, 'Expected a number above 0 for learningRate but received -1.'],
    [{ learningRate: Number.NaN }, 'Expected a number above 0 for learningRate but received NaN.'],
    [{ minimumRateShare: 2 }, 'Expected a number from 0 to 1 for minimumRateShare but received 2.'],
    [
      { teacherTemperature: 'auto' },
      `Expected 'match' or a number above 0 for teacherTemperature but received "auto".`,
    ],
    [{ listLength: 1 }, 'Expected a whole number of at least 2 for listLength but received 1.'],
    [{ batching: 'sorted' }, `Expected 'random' or 'clustered' for batching but received "sorted".`],
    [
      { listwiseWeight: 0, contrastiveWeight: 0 },
      'Expected a number above 0 where contrastiveWeight is 0 for listwiseWeight but received 0.',
    ],
  ];
  for (const [change, message] of wrong) {
    it(`refuses ${JSON.stringify(change)}`, () => {
      expect(() => settleOptions({ ...given, ...change } as unknown as TrainingOptions)).to.throw(message);
    });
  }
});

/** A corpus, and lists over it whose teacher is another random model, so that there is something to learn. */
function task(): { corpus: Map<string, string>; train: TrainingList[]; dev: TrainingList[] } {
  const texts = [...new Set(randomTexts(100, { longest: 5, seed: 5 }))].slice(0, 60);
  const random = Random.for(5, 'task');
  const lists = randomTexts(50, { longest: 3, seed: 6 }).map((query, i): TrainingList => {
    const rows = random.shuffle(Array.from(texts.keys())).slice(0, 6);
    // A passage is the better, the more letters it shares with the query.
    const share = (text: string) =>
      [...new Set(query)].filter((letter) => text.includes(letter)).length / new Set(query).size;
    const passages = rows
      .map((row) => ({ id: `p${row}`, score: share(texts[row]!) }))
      .sort((a, b) => b.score - a.score);
    return { id: `q${i}`, query, passages };
  });
  return { corpus: new Map(texts.map((text, i) => [`p${i}`, text])), train: lists.slice(0, 40), dev: lists.slice(40) };
}

describe('trainListwise', () => {
  const { corpus, train, dev } = task();
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
      ...['evaluation 0', 'step 1', 'step 2', 'step 3', 'step 4', 'evaluation 4'],
      ...['step 5', 'step 6', 'step 7', 'step 8', 'evaluation 8'],
    ]);
    const [, first] = records;
    expect(first).to.include({ epoch: 1, learningRate: 0, queries: 10, slots: 60 });
    expect(first.uniqueShare).to.equal(first.uniquePassages / 60);
    expect(first.loss).to.be.closeTo(first.listwise + 0.1 * first.contrastive, 1e-12);
    for (const field of ['gradNorm', 'tokens', 'tokensPerSecond', 'seconds'])
      expect(first[field], field).to.be.above(0);
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
        return meanEntropy({ scores, listLength: scores.length }, 0.05);
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

  it('reads lists from files, with texts in place of a corpus', async () => {
    const directory = temporaryDirectory();
    const files = [train.slice(0, 20), train.slice(20)].map((lists, i) => {
      const file = join(directory, `lists-${i}.jsonl`);
      const lines = lists.map(({ query, passages }) => ({
        query,
        passages: passages.map(({ id, score }) => ({ text: corpus.get(id), score })),
      }));
      writeFileSync(file, lines.map((line) => JSON.stringify(line)).join('\n'));
      return file;
    });
    const { corpus: _, ...rest } = quick;
    const fromFiles = await trainListwise({ ...rest, lists: files, output: output(), epochs: 1 });
    const fromArray = await trainListwise({ ...quick, lists: train, output: output(), epochs: 1 });
    expect(fromFiles.lists).to.deep.equal(fromArray.lists);
    const [a, b] = [fromFiles, fromArray].map((one) => readSafetensors(join(one.directory, 'model.safetensors')));
    expect(a).to.deep.equal(b);
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
    const listwise = { ...quick, teacherTemperature: 0.1, contrastiveWeight: 0 };
    const { directory: trained } = await trainListwise({ ...listwise, lists: train, output: output(), epochs: 8 });
    const upsideDown = train.map((list) => ({
      ...list,
      passages: list.passages.map(({ id, score }) => ({ id, score: 1 - score })).reverse(),
    }));
    const result = await trainListwise({ ...listwise, model: trained, output: output(), lists: upsideDown, dev });
    expect(result.stopped).to.equal('patience');
    expect(result.evaluations).to.have.length(3);
    expect(result.best).to.deep.equal(result.base);
    const [kept, base] = [result.directory, trained].map((one) => readSafetensors(join(one, 'model.safetensors')));
    expect(kept).to.deep.equal(base);
  });

  it('replaces what an earlier run left', async () => {
    const directory = output();
    await trainListwise({ ...quick, lists: train, output: directory, maxSteps: 3 });
    const again = await trainListwise({ ...quick, lists: train, output: directory, maxSteps: 2 });
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
        expect(done, stage).to.be.at.most(total);
        stages.set(stage, done / total);
      },
    });
    expect(Object.fromEntries(stages)).to.include({ tokenizing: 1, temperature: 1, evaluation: 1, training: 1 });
  });

  it('stops when aborted, with the best model so far whole', async () => {
    const directory = output();
    const stop = new AbortController();
    const reason = new Error('stop here');
    const work = trainListwise({
      ...quick,
      lists: train,
      dev,
      output: directory,
      signal: stop.signal,
      onStep: ({ step }) => {
        if (step === 5) stop.abort(reason);
      },
    });
    expect(await rejection(work)).to.equal(reason);
    await using kept = await Embedder.load(join(directory, 'model'));
    expect(await kept.encode(['a'])).to.have.length(32);
    expect(existsSync(join(directory, 'training.json'))).to.equal(false);
  });

  it('stops at numbers that are not finite, naming the queries, with the best model whole', async () => {
    const directory = output();
    const work = trainListwise({
      ...quick,
      lists: train,
      dev,
      output: directory,
      learningRate: 1e38,
      warmupSteps: 1,
      weightDecay: 0,
    });
    const error = (await rejection(work)) as Error & { code?: string; queryIds?: string[] };
    expect(error.code).to.equal('NOT_FINITE');
    expect(error.message).to.match(/^(Step \d+ \(epoch 1\)|Evaluation on dev after step \d+) stopped: .*(nan|inf)/i);
    expect(error.message).to.match(/look at the batch's queries: q\d+, q\d+, q\d+, q\d+, q\d+, and 5 more/);
    expect(error.queryIds).to.have.length(10);
    const [kept, base] = [join(directory, 'model'), model].map((one) =>
      readSafetensors(join(one, 'model.safetensors')),
    );
    expect(kept).to.deep.equal(base);
  });

  const bad: [string, object, RegExp][] = [
    [
      'a passage that the corpus lacks',
      {
        lists: [
          {
            id: 'x',
            query: 'q',
            passages: [
              { id: 'p1', score: 1 },
              { id: 'p99', score: 0 },
            ],
          },
        ],
      },
      /^The list of query "x" names passage "p99", which is not in the corpus; check that the lists belong to this corpus\.$/,
    ],
    [
      'no corpus and no text',
      {
        corpus: undefined,
        lists: [
          {
            id: 'x',
            query: 'q',
            passages: [
              { id: 'p1', score: 1 },
              { id: 'p2', score: 0 },
            ],
          },
        ],
      },
      /^The list of query "x" names passage "p1" without its text, and no corpus was given to look it up in; give one of the two\.$/,
    ],
    [
      'a score that is no number',
      {
        lists: [
          {
            id: 'x',
            query: 'q',
            passages: [
              { id: 'p1', score: Number.NaN },
              { id: 'p2', score: 0 },
            ],
          },
        ],
      },
      /^Expected a finite number for lists\[0\]\.passages\[0\]\.score but received NaN\.$/,
    ],
    [
      'lists of different lengths',
      { lists: [train[0], { ...train[1], passages: train[1]!.passages.slice(1) }] },
      /^The list of query "q1" has 5 passages, but that of "q0" has 6; give all as many, or cut them by listLength\.$/,
    ],
    [
      'no lists',
      { lists: [] },
      /^Expected a file of training lists, several, or an array of lists for lists but received an array of 0\.$/,
    ],
    [
      'a query that is too long to allow',
      { lists: train, queryMaxLength: 41 },
      /^Expected a whole number from 3 to 40, the most that this model can read, for queryMaxLength but received 41\.$/,
    ],
  ];
  for (const [what, change, message] of bad) {
    it(`refuses ${what}`, async () => {
      const error = await rejection(
        trainListwise({ ...quick, output: output(), ...change } as unknown as TrainingOptions),
      );
      expect(error.message).to.match(message);
    });
  }

  it('names file and line of a list that cannot be used', async () => {
    const file = join(temporaryDirectory(), 'lists.jsonl');
    writeFileSync(file, '{"query":"a","passages":[{"id":"p1","score":1},{"id":"p2","score":0}]}\n{"query":\n');
    const error = await rejection(trainListwise({ ...quick, lists: file, output: output() }));
    expect(error).to.include({ code: 'BAD_DATA', file, line: 2 });
  });

  it('does not hold up the event loop', async () => {
    const { pause } = await longestPause(() =>
      trainListwise({ ...quick, lists: train, dev, output: output(), epochs: 5 }),
    );
    expect(pause).to.be.below(150);
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

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { trainListwise } from '../lib/training/train.js';
import { randomTexts, readSafetensors, realModel, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { trainingTask } from './training-task.js';

describe('trainListwise, where it cannot go on,', () => {
  const { corpus, train, dev } = trainingTask();
  const model = writeTinyModel();
  const quick = { model, corpus, batchSize: 10, learningRate: 3e-3, warmupSteps: 2, seed: 7 };
  const output = () => join(temporaryDirectory(), 'run');

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

  it('rejects with what onProgress throws while a step runs on its threads', async () => {
    const thrown = new Error('a reader that fails');
    let inside = 0;
    // 160 passages of up to 300 words: a step takes seconds on any machine, and the timer looks four times a second.
    const texts = randomTexts(160, { longest: 300 });
    const lists = texts.slice(0, 40).map((query, i) => ({
      query: query.slice(0, 80),
      passages: [0, 1, 2, 3].map((j) => ({ id: `${4 * i + j}`, text: texts[4 * i + j]!, score: 1 - j / 4 })),
    }));
    const work = trainListwise({
      ...quick,
      model: realModel,
      lists,
      batchSize: 40,
      teacherTemperature: 0.3,
      output: output(),
      onProgress: ({ stage, done }) => {
        // Fractions come from the timer, whole steps from the loop.
        if (stage !== 'training' || Number.isInteger(done)) return;
        inside += 1;
        throw thrown;
      },
    });
    expect(await rejection(work)).to.equal(thrown);
    expect(inside, 'calls from the timer').to.equal(1);
  });

  it('rejects with what onStep throws', async () => {
    const thrown = new Error('a reader that fails');
    const onStep = () => {
      throw thrown;
    };
    expect(await rejection(trainListwise({ ...quick, lists: train, output: output(), onStep }))).to.equal(thrown);
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
    expect(error.message).to.match(/ \(all are in log\.jsonl\)\.$/);
    expect(error.queryIds).to.have.length(10);
    const log = readFileSync(join(directory, 'log.jsonl'), 'utf8').trim().split('\n');
    const last = JSON.parse(log.at(-1)!);
    const { step, ...failure } = last;
    expect(failure).to.deep.equal({ kind: 'failure', message: error.message, queries: error.queryIds });
    expect(error.message).to.include(error.message.startsWith('Step') ? `Step ${step + 1} ` : `after step ${step} `);
    const [kept, base] = [join(directory, 'model'), model].map((one) =>
      readSafetensors(join(one, 'model.safetensors')),
    );
    expect(kept).to.deep.equal(base);
  });
});

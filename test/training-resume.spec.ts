import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { Random } from '../lib/random.js';
import { CheckpointSchedule } from '../lib/training/checkpoint-schedule.js';
import type { TrainingOptions } from '../lib/training/options.js';
import type { TrainingResult } from '../lib/training/result.js';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { trainListwise } from '../lib/training/train.js';
import { readSafetensors, realModel, temporaryDirectory, tinyConfig, tinyWeights, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { TrainingProcess } from './training-process.js';
import { trainingTask } from './training-task.js';

const isNoPlan = ({ kind }: { kind: string }) => kind !== 'plan';

/** What a run left, without what depends on the clock. */
function resultOf(output: string): { weights: string; log: unknown[]; summary: unknown; files: string[] } {
  const timeless = (_: string, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const {
      seconds: _1,
      tokensPerSecond: _2,
      output: _3,
      directory: _4,
      rssBytes: _5,
      peakRssBytes: _6,
      ...rest
    } = value as any;
    delete rest.peakBytes;
    return rest;
  };
  const parse = (text: string) => JSON.parse(JSON.stringify(JSON.parse(text), timeless));
  return {
    weights: createHash('sha256')
      .update(readFileSync(join(output, 'model', 'model.safetensors')))
      .digest('hex'),
    // A process that goes on plans its memory anew.
    log: readFileSync(join(output, 'log.jsonl'), 'utf8').trim().split('\n').map(parse).filter(isNoPlan),
    summary: parse(readFileSync(join(output, 'training.json'), 'utf8')),
    files: (readdirSync(output, { recursive: true }) as string[]).sort(),
  };
}

const { corpus, train, dev } = trainingTask();
const model = writeTinyModel();
const newOutput = () => join(temporaryDirectory(), 'run');
const quick = {
  ...{ model, batchSize: 10, learningRate: 1e-3, warmupSteps: 2, seed: 7, epochs: 4, patience: 50 },
  ...{ checkpointEvery: 3, evaluateEvery: 5 },
};
const task = { corpus, lists: train, dev };

/** Trains, and stops by an abort after so many steps. */
async function trainUntil(steps: number, options: TrainingOptions): Promise<void> {
  const stop = new AbortController();
  const reason = new Error('stopped on purpose');
  const onStep = ({ step }: { step: number }) => step === steps && stop.abort(reason);
  expect(await rejection(trainListwise({ ...options, signal: stop.signal, onStep }))).to.equal(reason);
}

/** Trains, and gives what it told beside the result. */
async function trainAndHear(
  options: TrainingOptions,
): Promise<{ result: TrainingResult; events: TrainingEvent[]; steps: number[] }> {
  const events: TrainingEvent[] = [];
  const steps: number[] = [];
  const result = await trainListwise({
    ...options,
    onEvent: (event) => event.kind !== 'plan' && events.push(event),
    onStep: ({ step }) => steps.push(step),
  });
  return { result, events, steps };
}

const checkpointsIn = (output: string) => readdirSync(join(output, 'checkpoints')).sort();

describe('a training run that is killed', () => {
  it('goes on from its last checkpoint, and ends with the same bits after 20 kills at random moments', async function () {
    this.timeout(240_000);
    const options = { ...quick, epochs: 50 };
    const whole = newOutput();
    await trainListwise({ ...options, ...task, output: whole });
    const output = newOutput();
    const random = Random.for(1, 'kills');
    const resumedAt = new Set<number>();
    let kills = 0;
    let next = new TrainingProcess({ ...options, output });
    for (;;) {
      // The next one loads its modules meanwhile.
      const current = next;
      await current.said(0);
      next = new TrainingProcess({ ...options, output });
      current.go();
      // Most kills hit steps, evaluations and checkpoints; every fifth may hit what comes before.
      if (kills % 5 > 0) await current.stepped(1 + random.integer(10));
      await Promise.race([current.ended, sleep(random.integer(kills % 5 > 0 ? 15 : 300))]);
      if (kills < 20) current.kill();
      const { code, signal } = await current.ended;
      for (const event of current.events) if (event.kind === 'resumed') resumedAt.add(event.step);
      if (signal === 'SIGKILL') kills += 1;
      else {
        expect(code, current.errors).to.equal(0);
        break;
      }
    }
    next.kill();
    expect(kills).to.equal(20);
    expect(resumedAt, 'different checkpoints it went on from').to.have.property('size').above(5);
    expect(resultOf(output)).to.deep.equal(resultOf(whole));
  });
});

describe('trainListwise, started again,', () => {
  it('goes on where it was aborted, with the same result, log and summary', async () => {
    const [whole, output] = [newOutput(), newOutput()];
    await trainListwise({ ...quick, ...task, output: whole });
    await trainUntil(7, { ...quick, ...task, output });
    expect(checkpointsIn(output)).to.deep.equal(['step-4', 'step-6']);
    const { events, steps } = await trainAndHear({ ...quick, ...task, output });
    expect(events).to.deep.equal([{ kind: 'resumed', step: 6 }]);
    expect(steps[0]).to.equal(7);
    expect(resultOf(output)).to.deep.equal(resultOf(whole));
    expect(existsSync(join(output, 'checkpoints')), 'checkpoints of a finished run').to.equal(false);
  });

  it('goes on without dev lists too', async () => {
    const [whole, output] = [newOutput(), newOutput()];
    const { dev: _, ...without } = task;
    await trainListwise({ ...quick, ...without, output: whole });
    await trainUntil(7, { ...quick, ...without, output });
    await trainListwise({ ...quick, ...without, output });
    expect(resultOf(output)).to.deep.equal(resultOf(whole));
  });

  it('takes the best weights as they were at the checkpoint, not as the model directory has them', async () => {
    const [whole, output] = [newOutput(), newOutput()];
    // Learning stops at step 6 for good: the best weights are those of step 5 or 6.
    const options = { ...quick, ...task, maxSteps: 12, learningRate: 3e-3, evaluateEvery: 1 };
    await trainListwise({ ...options, output: whole });
    await trainUntil(7, { ...options, output });
    rmSync(join(output, 'model'), { recursive: true });
    await trainListwise({ ...options, output });
    expect(resultOf(output)).to.deep.equal(resultOf(whole));
  });

  it('falls back on the checkpoint before one that is damaged', async () => {
    const [whole, output] = [newOutput(), newOutput()];
    await trainListwise({ ...quick, ...task, output: whole });
    await trainUntil(7, { ...quick, ...task, output });
    truncateSync(join(output, 'checkpoints', 'step-6', 'weights.safetensors'), 1000);
    const { events } = await trainAndHear({ ...quick, ...task, output });
    expect(events).to.deep.equal([{ kind: 'resumed', step: 4 }]);
    expect(resultOf(output)).to.deep.equal(resultOf(whole));
  });

  it('says what changed, and starts anew', async () => {
    const output = newOutput();
    await trainUntil(7, { ...quick, ...task, output });
    const lists = train.map((list, i) => (i === 3 ? { ...list, query: 'another' } : list));
    const { events, steps } = await trainAndHear({ ...quick, ...task, lists, output, learningRate: 2e-3 });
    expect(events).to.deep.equal([
      { kind: 'anew', reason: 'learningRate changed from 0.001 to 0.002, the lists changed' },
    ]);
    expect(steps[0]).to.equal(1);
  });

  it('starts anew where it is told so, and refuses to where it must go on', async () => {
    const output = newOutput();
    const must = { ...quick, ...task, output, resume: 'must' as const };
    expect((await rejection(trainListwise(must))).message).to.equal(
      `resume is 'must', but ${output} holds no checkpoint to go on from; give resume 'auto' to start anew.`,
    );
    await trainUntil(7, { ...quick, ...task, output });
    const { message } = await rejection(trainListwise({ ...must, seed: 8 }));
    expect(message).to.equal(
      `resume is 'must', but the run in ${output} is another one: seed changed from 7 to 8; ` +
        "give resume 'auto' to start anew, or another output.",
    );
    expect(checkpointsIn(output)).to.deep.equal(['step-4', 'step-6']);
    const { events, steps } = await trainAndHear({ ...quick, ...task, output, resume: 'never' });
    expect([events, steps[0]]).to.deep.equal([[], 1]);
  });

  it('gives the result again of a run that was finished, unless its model is another now', async () => {
    const output = newOutput();
    const first = await trainListwise({ ...quick, ...task, output });
    const again = await trainAndHear({ ...quick, ...task, output });
    expect(again.result).to.deep.equal(first);
    expect(again.steps).to.deep.equal([]);
    expect(again.events).to.deep.equal([{ kind: 'finished', directory: join(output, 'model') }]);
    appendFileSync(join(output, 'model', 'model.safetensors'), 'x');
    expect((await trainAndHear({ ...quick, ...task, output })).steps).to.have.length(16);
  });

  it('keeps as many checkpoints as it is told', async () => {
    const output = newOutput();
    await trainUntil(11, { ...quick, ...task, output, checkpointEvery: 1, keepCheckpoints: 3 });
    expect(checkpointsIn(output)).to.deep.equal(['step-10', 'step-11', 'step-9']);
  });

  it('leaves the last good checkpoint where numbers are not finite, and goes on from it', async () => {
    const output = newOutput();
    // The first step has rate 0; the second makes the weights so large that the loss or the gradient overflows.
    const options = {
      ...quick,
      ...task,
      output,
      learningRate: 1e38,
      weightDecay: 0,
      warmupSteps: 1,
      checkpointEvery: 1,
    };
    const first = await rejection(trainListwise(options));
    expect(first).to.have.property('code', 'NOT_FINITE');
    expect(first).to.have.property('queryIds').with.length(10);
    expect(checkpointsIn(output)).to.deep.equal(['step-0', 'step-1']);
    const weights = readSafetensors(join(output, 'checkpoints', 'step-1', 'weights.safetensors'));
    expect(Object.values(weights).every(({ values }) => values.every(Number.isFinite))).to.equal(true);
    const events: TrainingEvent[] = [];
    const onEvent = (event: TrainingEvent) => events.push(event);
    const again = await rejection(trainListwise({ ...options, onEvent }));
    expect(events[0]).to.deep.equal({ kind: 'resumed', step: 1 });
    expect(again.message).to.equal(first.message);
    expect(checkpointsIn(output)).to.deep.equal(['step-0', 'step-1']);
  });

  it('names the queries where the base weights are not numbers, before any step', async () => {
    const tensors = tinyWeights(tinyConfig);
    tensors['encoder.layer.0.output.dense.bias']!.values[3] = Number.NaN;
    const broken = writeTinyModel(undefined, { weights: tensors });
    const options = { ...quick, ...task, model: broken, teacherTemperature: 0.3 };
    const onDev = await rejection(trainListwise({ ...options, output: newOutput() }));
    expect(onDev).to.have.property('code', 'NOT_FINITE');
    expect(onDev.message).to.match(/^Evaluation on dev after step 0 stopped: .*look at the batch's queries: q4\d, /);
    const inStep = await rejection(trainListwise({ ...options, dev: undefined, output: newOutput() }));
    expect(inStep).to.have.property('code', 'NOT_FINITE');
    expect(inStep.message).to.match(/^Step 1 \(epoch 1\) stopped: .*look at the batch's queries: q\d+, /);
  });

  it('refuses an output that another process trains into', async () => {
    const output = newOutput();
    const other = new TrainingProcess({ ...quick, epochs: 100_000, output });
    await other.said(0);
    other.go();
    await other.said(1);
    const error = await rejection(trainListwise({ ...quick, ...task, output }));
    other.kill();
    await other.ended;
    expect(error).to.have.property('code', 'BUSY');
    expect(error.message).to.match(
      /but .*run is in use by process \d+ on \S+ since \S+; wait for it or stop it, or give another output\.$/,
    );
  });

  it('gives the same bits twice, with real weights and several threads', async () => {
    const run = async () => {
      const output = newOutput();
      await trainListwise({ ...quick, ...task, model: realModel, maxSteps: 2, dev: undefined, output });
      return resultOf(output);
    };
    expect(await run()).to.deep.equal(await run());
  });
});

describe('CheckpointSchedule', () => {
  it('is due every so many steps and at each epoch end where a number is given', () => {
    const schedule = new CheckpointSchedule(4, () => 0);
    const due = [0, 1, 2, 3, 4, 5].map((step) => schedule.isDue(step, step === 3));
    expect(due).to.deep.equal([true, false, false, true, true, false]);
  });

  it('is due at epoch ends and every ten minutes else, but takes no more than a tenth of the time', async () => {
    let seconds = 0;
    const schedule = new CheckpointSchedule(undefined, () => seconds * 1000);
    expect(schedule.isDue(1, true)).to.equal(true);
    expect(schedule.isDue(1, false)).to.equal(false);
    seconds = 600;
    expect(schedule.isDue(2, false)).to.equal(true);
    await schedule.keep(async () => {
      seconds += 100;
    });
    seconds += 899;
    expect([schedule.isDue(3, true), schedule.isDue(3, false)]).to.deep.equal([false, false]);
    seconds += 1;
    expect([schedule.isDue(3, true), schedule.isDue(3, false)]).to.deep.equal([true, true]);
  });
});

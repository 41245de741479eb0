import { copyFileSync, existsSync, rmSync, truncateSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { trainListwise } from '../lib/training/train.js';
import { readSafetensors, realModel, tinyConfig, tinyWeights, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { TrainingProcess } from './training-process.js';
import { checkpointsIn, newOutput, quick, resultOf, task, trainAndHear, trainUntil } from './training-runs.js';

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

  it('refuses moments of another step than the checkpoint says', async () => {
    const output = newOutput();
    await trainUntil(7, { ...quick, ...task, output });
    const [earlier, later] = [4, 6].map((step) =>
      join(output, 'checkpoints', `step-${step}`, 'optimizer.safetensors'),
    ) as [string, string];
    copyFileSync(earlier, later);
    const error = await rejection(trainListwise({ ...quick, ...task, output }));
    expect(error).to.have.property('code', 'BAD_DATA');
    expect(error.message).to.equal(
      `${later}: Expected the moments after 6 steps, as the checkpoint says, but these are after 4; remove the ` +
        "checkpoint's directory to go on from the one before it.",
    );
    rmSync(dirname(later), { recursive: true });
    const { events } = await trainAndHear({ ...quick, ...task, output });
    expect(events).to.deep.equal([{ kind: 'resumed', step: 4 }]);
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
    const directory = join(output, 'checkpoints', 'step-6');
    const [broken, ...rest] = events;
    expect(broken).to.deep.include({ kind: 'broken', step: 6, directory, next: 4 });
    expect(broken)
      .to.have.property('problem')
      .that.matches(/^weights\.safetensors has 1000 bytes and not \d+$/);
    expect(rest).to.deep.equal([{ kind: 'resumed', step: 4 }]);
    expect(resultOf(output)).to.deep.equal(resultOf(whole));
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

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { TrainingOptions } from '../lib/training/options.js';
import type { TrainingResult } from '../lib/training/result.js';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { trainListwise } from '../lib/training/train.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { trainingTask } from './training-task.js';

const isNoPlan = ({ kind }: { kind: string }) => kind !== 'plan';

/** What a run left, without what depends on the clock. */
export function resultOf(output: string): { weights: string; log: unknown[]; summary: unknown; files: string[] } {
  const timeless = (_: string, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const {
      seconds: _1,
      waitSeconds: _0,
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

/** A path where nothing is yet. */
export const newOutput = () => join(temporaryDirectory(), 'run');

/** Sixteen steps of a tiny model, with a checkpoint every third. */
export const quick = {
  ...{ model, batchSize: 10, learningRate: 1e-3, warmupSteps: 2, seed: 7, epochs: 4, patience: 50 },
  ...{ checkpointEvery: 3, evaluateEvery: 5 },
};
export const task = { corpus, lists: train, dev };

/** Trains, and stops by an abort after so many steps. */
export async function trainUntil(steps: number, options: TrainingOptions): Promise<void> {
  const stop = new AbortController();
  const reason = new Error('stopped on purpose');
  const onStep = ({ step }: { step: number }) => step === steps && stop.abort(reason);
  expect(await rejection(trainListwise({ ...options, signal: stop.signal, onStep }))).to.equal(reason);
}

/** Trains, and gives what it told beside the result. */
export async function trainAndHear(
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

/** Names of what is among the checkpoints. */
export const checkpointsIn = (output: string) => readdirSync(join(output, 'checkpoints')).sort();

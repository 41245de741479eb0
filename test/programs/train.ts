/**
 * Trains with the options of a JSON file, its only argument, on the task of the tests: an embedding model, or with
 * `trains: "cross-encoder"` such a one, on `sets` where they are given. Says "loaded" when its modules are, begins at
 * the first word from stdin, and says each event and step.
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { native } from '../../lib/native.js';
import type { TrainingEvent } from '../../lib/training/run-start.js';
import { trainListwise } from '../../lib/training/train.js';
import { trainCrossEncoder } from '../../lib/training/train-cross-encoder.js';
import { trainingTask } from '../training-task.js';

const { trains, sets, ...options } = JSON.parse(readFileSync(process.argv[2]!, 'utf8'));
const { corpus, train, dev } = trainingTask();
native();
console.log('loaded');
await once(process.stdin, 'data');
process.stdin.unref();
const whole = {
  ...(sets ? { corpus, lists: sets } : { corpus, lists: train, dev }),
  ...options,
  onEvent: (event: TrainingEvent) => console.log(JSON.stringify(event)),
  onStep: ({ step }: { step: number }) => console.log(`step ${step}`),
};
await (trains === 'cross-encoder' ? trainCrossEncoder(whole) : trainListwise(whole));
console.log('done');

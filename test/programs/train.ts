/**
 * Trains with the options of a JSON file, its only argument, on the task of the tests. Says "loaded" when its modules
 * are, begins at the first word from stdin, and says each event and step.
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { native } from '../../lib/native.js';
import { trainListwise } from '../../lib/training/train.js';
import { trainingTask } from '../training-task.js';

const options = JSON.parse(readFileSync(process.argv[2]!, 'utf8'));
const { corpus, train, dev } = trainingTask();
native();
console.log('loaded');
await once(process.stdin, 'data');
process.stdin.unref();
await trainListwise({
  ...{ corpus, lists: train, dev, ...options },
  onEvent: (event) => console.log(JSON.stringify(event)),
  onStep: ({ step }) => console.log(`step ${step}`),
});
console.log('done');

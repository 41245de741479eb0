import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { TrainingOptions } from '../lib/training/options.js';
import { trainListwise } from '../lib/training/train.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { trainingTask } from './training-task.js';

describe('trainListwise, given bad input,', () => {
  const { corpus, train } = trainingTask();
  const quick = { model: writeTinyModel(), corpus };
  const output = () => join(temporaryDirectory(), 'run');

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
});

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
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
      /^Expected a file of training lists or an array of lists for lists but received an array of 0\.$/,
    ],
    [
      'files of lists without as many of dev',
      { lists: ['a.jsonl', 'b.jsonl'], dev: ['c.jsonl'] },
      /^Expected 2 paths, one for each of lists, for dev but received an array of 1\.$/,
    ],
    [
      'one dev beside sources that have their own',
      { lists: [{ lists: train }], dev: train },
      /^Expected nothing for dev but received an array of 40; where lists are several sources, each names its own dev\.$/,
    ],
    [
      'a source among lists',
      { lists: [{ lists: train }, train[0]] },
      /^Expected a source, \{lists, dev, corpus, name\}, as others are, for lists\[1\] but received an object\.$/,
    ],
    [
      'two sources of one name',
      {
        lists: [
          { lists: train, name: 'a' },
          { lists: train, name: 'a' },
        ],
      },
      /^Expected a name that no other has for lists\[1\]\.name but received "a"\.$/,
    ],
    [
      'a source without lists',
      { lists: [{ lists: train }, { lists: [] }] },
      /^Expected a file of training lists or an array of lists for lists\[1\]\.lists but received an array of 0\.$/,
    ],
    [
      'a source whose list is broken',
      { lists: [{ lists: train }, { lists: [train[0], { query: '' }] }] },
      /^Expected a string that is not empty for lists\[1\]\.lists\[1\]\.query but received ""\.$/,
    ],
    [
      'a list that is null',
      { lists: [train[0], null] },
      /^Expected a list, \{query, passages: \[\{id or text, score\}\]\}, for lists\[1\] but received null\.$/,
    ],
    [
      'a passage that is null',
      { lists: [{ query: 'q', passages: [{ id: 'p1', score: 1 }, null] }] },
      /^Expected a passage, \{id or text, score\}, for lists\[0\]\.passages\[1\] but received null\.$/,
    ],
    [
      'a passage with neither id nor text, of dev too',
      { lists: train, dev: [{ query: 'q', passages: [{ id: 'p1', score: 1 }, { score: 0 }] }] },
      /^Expected a string that is not empty, or a text in its place, for dev\[0\]\.passages\[1\]\.id but received undefined\.$/,
    ],
    [
      'a corpus that is a number',
      { lists: train, corpus: 5 },
      /^Expected the path of a corpus, or passages, for corpus but received 5\.$/,
    ],
    [
      'a corpus that is null',
      { lists: train, corpus: null },
      /^Expected the path of a corpus, or passages, for corpus but received null\.$/,
    ],
    [
      'a Map whose passage has no text',
      { lists: train, corpus: new Map([...Array(100).keys()].map((i) => [`p${i}`, {}])) },
      /^Expected a string, or an object .*, for the corpus' passage "p\d+" but received an object\.$/,
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

  it('refuses an output whose model directory holds something else, before any step', async () => {
    const directory = output();
    mkdirSync(join(directory, 'model'), { recursive: true });
    writeFileSync(join(directory, 'model', 'thesis.txt'), '');
    const error = await rejection(trainListwise({ ...quick, lists: train, output: directory }));
    expect(error.message).to.match(/ for output\/model but received .*; it holds thesis\.txt, which would be lost\.$/);
    expect(existsSync(join(directory, 'log.jsonl'))).to.equal(false);
  });

  it('says in words when the output, or what it is to write there, is something else', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'file'), '');
    mkdirSync(join(directory, 'training.json'));
    mkdirSync(join(directory, 'run', 'log.jsonl'), { recursive: true });
    const places: [string, RegExp][] = [
      [join(directory, 'file'), /^Cannot write .*file.model: it or a part of its path is a file/],
      [directory, /^Cannot write .*training\.json: it is a directory; give the path of a file\.$/],
      [join(directory, 'run'), /^Cannot write .*log\.jsonl: it is a directory; give the path of a file\.$/],
    ];
    for (const [place, message] of places) {
      const error = await rejection(trainListwise({ ...quick, lists: train, output: place }));
      expect(error).to.have.property('code', 'NOT_WRITABLE');
      expect(error.message).to.match(message);
    }
  });

  it('refuses an output inside of the base model', async () => {
    const { message } = await rejection(trainListwise({ ...quick, lists: train, output: quick.model }));
    expect(message).to.match(/^Expected a directory outside of the base model's \(.*\) for output\/model but received/);
  });

  it('refuses an output whose model is the base model, which would be lost', async () => {
    const directory = temporaryDirectory();
    const model = writeTinyModel(join(directory, 'model'));
    const before = readFileSync(join(model, 'model.safetensors'));
    const { message } = await rejection(trainListwise({ ...quick, model, lists: train, output: directory }));
    expect(message).to.match(/^Expected a directory outside of the base model's \(.*\) for output\/model but received/);
    expect(existsSync(join(directory, 'log.jsonl'))).to.equal(false);
    expect(readFileSync(join(model, 'model.safetensors')).equals(before)).to.equal(true);
  });

  it('names file and line of a list that cannot be used', async () => {
    const file = join(temporaryDirectory(), 'lists.jsonl');
    writeFileSync(file, '{"query":"a","passages":[{"id":"p1","score":1},{"id":"p2","score":0}]}\n{"query":\n');
    const error = await rejection(trainListwise({ ...quick, lists: file, output: output() }));
    expect(error).to.include({ code: 'BAD_DATA', file, line: 2 });
  });
});

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { listsCommand } from '../lib/cli/lists.js';
import { runCommandLine } from '../lib/cli/program.js';
import { evaluate, readLists, type TrainingList, writeLabelledLists } from '../lib/index.js';
import { labelledListOptionNames } from '../lib/lists/labelled.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { jsonl, writeCollection } from './tiny-run.js';

const model = writeTinyModel();
const data = writeCollection();
mkdirSync(join(data, 'qrels'), { recursive: true });
writeFileSync(
  join(data, 'qrels', 'train.tsv'),
  'query-id\tcorpus-id\tscore\nt7\tp7\t1\nt7\tp8\t2\nt21\tp21\t1\nt33\tgone\t1\nt45\tp45\t0\n',
);
const all = async (directory: string) => {
  const corpus = { has: () => true };
  const files = ['lists.train.jsonl', 'lists.dev.jsonl'].map((name) => join(directory, name));
  const read = files.map((file) => (readFileSync(file, 'utf8') === '' ? [] : readLists(file, { corpus })));
  return (await Promise.all(read)).flat() as TrainingList[];
};

describe('writeLabelledLists', () => {
  const base = { corpus: data, model, data, listLength: 6, depth: 20 };

  it('has the relevant passages first with label 1, then negatives that the model finds', async () => {
    const output = temporaryDirectory();
    const result = await writeLabelledLists({ ...base, output, devShare: 0 });
    expect(result).to.deep.equal({ lists: join(output, 'lists.train.jsonl'), train: 2, devLists: 0, dropped: 2 });
    const lists = await all(output);
    expect(lists.map(({ id }) => id)).to.deep.equal(['human:t7', 'human:t21']);
    const [two, one] = lists as [TrainingList, TrainingList];
    expect(two.passages.slice(0, 2)).to.deep.equal(
      [
        { id: 'p8', score: 1 },
        { id: 'p7', score: 1 },
      ].map((p) => ({ ...p, text: undefined })),
    );
    expect(one.passages.map(({ score }) => score)).to.deep.equal([1, 0, 0, 0, 0, 0]);
    const { run } = await evaluate({ model, data, k: 60, measures: ['AP'] });
    for (const [list, positives] of [
      [two, ['p7', 'p8']],
      [one, ['p21']],
    ] as const) {
      const ranking = run.get(list.id.slice('human:'.length))!.map(({ id }) => id);
      const usable = ranking.filter((id) => !(positives as readonly string[]).includes(id)).slice(0, 20);
      const negatives = list.passages.filter(({ score }) => score === 0).map(({ id }) => usable.indexOf(id));
      expect(Math.min(...negatives)).to.be.at.least(0);
      expect(negatives).to.deep.equal([...negatives].sort((a, b) => a - b));
      expect(Math.max(...negatives), 'not only the nearest').to.be.above(4);
    }
    const dropped = readFileSync(join(output, 'dropped.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(dropped).to.deep.equal([
      {
        ...{ query: 'human:t33', stage: 'queries', filter: 'no relevant passage' },
        reason: 'no relevant passage is in the corpus',
      },
      {
        ...{ query: 'human:t45', stage: 'queries', filter: 'no relevant passage' },
        reason: 'no passage was judged relevant',
      },
    ]);
  });

  it("takes a written query's passage as its positive, splits by it, and draws by the seed", async () => {
    const written = join(data, 'written.jsonl');
    const make = async (seed: number) => {
      const output = temporaryDirectory();
      const result = await writeLabelledLists({
        ...base,
        data: undefined,
        queries: written,
        output,
        seed,
        devShare: 0.25,
      });
      return { output, result, lists: await all(output) };
    };
    const { output, result, lists } = await make(3);
    expect(result).to.include({ train: 90, devLists: 30, dropped: 0, dev: join(output, 'lists.dev.jsonl') });
    const corpus = { has: () => true };
    const [train, dev] = [await readLists(result.lists, { corpus }), await readLists(result.dev!, { corpus })];
    const sources = new Set(train.map(({ source }) => source));
    expect(dev.some(({ source }) => sources.has(source))).to.equal(false);
    expect(lists.every(({ source, passages }) => passages[0]!.id === source)).to.equal(true);
    expect((await make(3)).lists).to.deep.equal(lists);
    expect((await make(4)).lists).to.not.deep.equal(lists);
  });

  it('refuses what makes no lists', async () => {
    const output = temporaryDirectory();
    const messageOf = async (change: object) =>
      (await rejection(writeLabelledLists({ ...base, output, ...change }))).message;
    expect(await messageOf({ data: undefined })).to.match(
      /^Expected queries that people judged \(data\) or .* for data/,
    );
    expect(await messageOf({ depth: 4 })).to.equal(
      'Expected at least 5, the negatives of a list, for depth but received 4.',
    );
    expect(await messageOf({ split: 'none' })).to.match(/the splits there are: test, train\.$/);
    const few = join(temporaryDirectory(), 'corpus.jsonl');
    writeFileSync(few, jsonl(['p7', 'p8', 'p21'].map((_id) => ({ _id, title: '', text: _id }))));
    expect(await messageOf({ corpus: few })).to.equal(
      `${join(output, 'dropped.jsonl')}: Expected queries to make lists of but all 4 were dropped; it says why.`,
    );
  });

  it('is the command lists, with the same options', async () => {
    const flags = listsCommand.options.map(({ name }) => name);
    const ofPrograms = ['modelOptions', 'signal', 'onProgress'];
    expect(flags).to.include.members(labelledListOptionNames.filter((name) => !ofPrograms.includes(name)));
    const output = temporaryDirectory();
    let stdout = '';
    const args = [
      '--corpus',
      data,
      '--data',
      data,
      '--model',
      model,
      '--list-length',
      '6',
      '--output',
      output,
      '--quiet',
    ];
    const streams = { stdout: { write: (text: string) => (stdout += text) }, stderr: { write: () => {} } };
    expect(await runCommandLine(['lists', ...args], streams)).to.equal(0);
    expect(stdout).to.equal(
      `${output}/lists.train.jsonl: 1 lists\n${output}/lists.dev.jsonl: 1 lists\n2 queries dropped\n`,
    );
  });
});

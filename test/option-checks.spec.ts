import { expect } from 'chai';
import { type SpecializeOptions, settleSpecializeOptions } from '../lib/specialize/options.js';
import { home, run, useTestSet, write } from './command-lines.js';

type Some = Partial<SpecializeOptions>;

describe('settleSpecializeOptions', () => {
  const settle = (more: Some) =>
    settleSpecializeOptions({ corpus: 'c', model: 'm', queries: 'q.jsonl', output: 'o', ...more });
  const score = { kind: 'file', scores: 'scores.trec' } as const;
  const testSet = 'a test set (data)';
  const people = 'queries that people judged (devData)';
  const bm25 = 'the fused teacher (teacher) or bm25 among the retrievers';

  /** An option, where it is without effect, where it is read, and what it needs. */
  const idle: [option: Some, alone: Some, beside: Some, needs: string][] = [
    [{ split: 'test' }, {}, { data: 'd' }, testSet],
    [{ by: 'metadata.kind' }, {}, { data: 'd' }, testSet],
    [{ humanSplit: 'train' }, {}, { humanQueries: 'h' }, 'queries of people (humanQueries)'],
    [{ guardLoss: 0.02 }, { guards: [] }, { guards: ['g'] }, 'guard sets (guards)'],
    [{ devSplit: 'dev' }, {}, { devData: 'd' }, people],
    [{ devQueries: 20 }, {}, { devData: 'd' }, people],
    [{ devDistractors: 20 }, {}, { devData: 'd' }, people],
    [{ denseWeight: 0.5 }, { teacher: score, retrievers: ['bm25'] }, {}, 'the fused teacher (teacher)'],
    [{ bm25Weight: 0.5 }, { teacher: score }, { teacher: ['fused', score] }, 'the fused teacher (teacher)'],
    [{ bm25K1: 1 }, { teacher: score }, { teacher: score, retrievers: ['dense', 'bm25'] }, bm25],
    [{ bm25B: 0.5 }, { teacher: score }, {}, bm25],
    [{ bm25Delta: 1 }, { teacher: score }, {}, bm25],
    [{ bm25Analysis: 'none' }, { teacher: score }, {}, bm25],
  ];
  for (const [option, alone, beside, needs] of idle) {
    const [[name, value]] = Object.entries(option) as [[string, unknown]];
    it(`refuses ${name} where nothing reads it`, () => {
      expect(() => settle({ ...alone, ...option })).to.throw(
        `Expected ${needs} beside it for ${name} but received ${JSON.stringify(value)}; without that nothing reads it.`,
      );
      expect(settle({ ...beside, ...option })).to.include(option);
      expect(() => settle(alone)).to.not.throw();
    });
  }

  it('takes temperatureLists beside a temperature, which the teacher doctor reads', () => {
    expect(settle({ temperatureLists: 64, teacherTemperature: 0.3 })).to.include({ temperatureLists: 64 });
  });

  const apart: [given: Some, message: string][] = [
    [
      { data: 'set', devData: './set', devSplit: 'test' },
      'Expected another split than the one that it is tested on for devSplit but received "test"; the test is worth ' +
        'nothing on queries that training was watched by.',
    ],
    [
      { data: 'set', split: 'dev', devData: 'set' },
      'Expected another split than the one that it is tested on for devSplit but received "dev"; the test is worth ' +
        'nothing on queries that training was watched by.',
    ],
    [
      { humanQueries: 'set', devData: 'set', devSplit: 'train' },
      'Expected another split than the one that it is trained on for devSplit but received "train"; queries that the ' +
        'model is trained on say nothing of how it does on others.',
    ],
  ];
  for (const [given, message] of apart) {
    it(`refuses judgements for two purposes: ${JSON.stringify(given)}`, () => {
      expect(() => settle(given)).to.throw(message);
    });
  }

  it('takes one directory with different splits for training, dev and test', () => {
    expect(() => settle({ humanQueries: 'set', devData: 'set', data: 'set' })).to.not.throw();
  });
});

describe('commands, given options that nothing reads,', () => {
  useTestSet();

  it('name them as the command line writes them', async () => {
    const specialize = ['specialize', '--corpus', home, '--model', 'm', '--queries', 'q', '--output', 'o'];
    const { code, stderr } = await run(...specialize, '--dev-queries', '20');
    expect({ code, stderr }).to.deep.equal({
      code: 2,
      stderr:
        'error: Expected queries that people judged (--dev-data) beside it for --dev-queries but received 20; without ' +
        'that nothing reads it.\n',
    });
    const train = ['train', '--model', 'm', '--lists', 'l', '--output', 'o'];
    const temperature = await run(...train, '--teacher-temperature', '0.3', '--temperature-lists', '64');
    expect(temperature.code).to.equal(2);
    expect(temperature.stderr).to.equal(
      "error: Expected 'match' as the --teacher-temperature beside it for --temperature-lists but received 64; without " +
        'that nothing reads it.\n',
    );
  });

  it('are refused by compare, whose runs are searched already', async () => {
    const file = (name: string) => write(name, 'a Q0 1 1 0.5 x\nb Q0 2 1 0.5 x\nc Q0 3 1 0.5 x\n');
    const runs = ['compare', '--base', file('one.trec'), '--others', file('two.trec')];
    const [qrels, data] = [`${home}/data/qrels/test.tsv`, `${home}/data`];
    const told = async (judgements: string[], ...option: string[]) =>
      (await run(...runs, ...judgements, ...option)).stderr;
    const cases: [option: string[], message: string][] = [
      [['--k', '500'], 'Expected a model among the systems for --k but received 500;'],
      [['--max-length', '64'], 'Expected a model among the systems for --max-length but received 64;'],
      [['--device', 'cpu'], 'Expected a model among the systems for --device but received "cpu";'],
    ];
    for (const [option, message] of cases) {
      expect(await told(['--qrels', qrels], ...option)).to.contain(`${message} without that nothing reads it.`);
      expect(await told(['--data', data], ...option)).to.contain(message);
    }
    expect(await told(['--qrels', qrels], '--split', 'test')).to.contain(
      'Expected a collection (data) instead of qrels beside it for --split but received "test";',
    );
    expect((await run(...runs, '--data', data, '--split', 'test', '--resamples', '20')).code).to.equal(0);
  });
});

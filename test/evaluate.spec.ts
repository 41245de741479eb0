import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { DataError, NotFoundError } from '../lib/errors.js';
import { compare } from '../lib/evaluation/compare.js';
import { evaluate, evaluateSets } from '../lib/evaluation/evaluate.js';
import type { EncodeTexts, TextEmbedder } from '../lib/evaluation/retrieval.js';
import type { Progress } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

/** Counts letters: texts with the same letters in the same shares have the same direction. Keeps what it was asked. */
class LetterCounter implements TextEmbedder {
  readonly dimension = 26;
  readonly calls: { texts: readonly string[]; options: EncodeTexts }[] = [];

  constructor(readonly ignored = '') {}

  async encode(texts: readonly string[], options: EncodeTexts): Promise<Float32Array> {
    this.calls.push({ texts, options });
    const rows = new Float32Array(texts.length * this.dimension);
    for (const [i, text] of texts.entries()) {
      const letters = [...text].filter((letter) => letter >= 'a' && letter <= 'z' && !this.ignored.includes(letter));
      for (const letter of letters) {
        const place = i * this.dimension + letter.charCodeAt(0) - 97;
        rows[place] = (rows[place] as number) + 1 / letters.length;
      }
    }
    options.onProgress?.({ stage: 'encoding', done: texts.length, total: texts.length, unit: 'texts' });
    return rows;
  }
}

const corpus = [
  { id: 'p1', title: 'aaa', text: 'aab' },
  { id: 'p2', title: '', text: 'bbbb\nb' },
  { id: 'p3', title: '', text: 'ccc' },
  { id: 'q2', title: '', text: 'bbbbbb' },
];
const queries = [
  { id: 'q1', text: 'aaaa' },
  { id: 'q2', text: 'bbb' },
  { id: 'unjudged', text: 'ccc' },
];
const qrels = new Map([
  ['q1', new Map([['p1', 1]])],
  ['q2', new Map([['p3', 2]])],
]);
const data = { corpus, queries, qrels };

describe('evaluate', () => {
  let directory: string;

  before(async () => {
    directory = temporaryDirectory();
    const lines = (records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
    await writeFile(join(directory, 'corpus.jsonl'), lines(corpus.map(({ id, ...rest }) => ({ _id: id, ...rest }))));
    await writeFile(join(directory, 'queries.jsonl'), lines(queries.map(({ id, text }) => ({ _id: id, text }))));
    await mkdir(join(directory, 'qrels'));
    await writeFile(join(directory, 'qrels', 'test.tsv'), 'query-id\tcorpus-id\tscore\nq1\tp1\t1\nq2\tp3\t2\n');
  });

  it('searches the corpus for the judged queries, without the passage that has the id of the query', async () => {
    const model = new LetterCounter();
    const result = await evaluate({ model, data, measures: ['RR', 'P@1'] });
    expect([...result.run.keys()]).to.deep.equal(['q1', 'q2']);
    expect(result.run.get('q2')?.map(({ id }) => id)).to.deep.equal(['p2', 'p1', 'p3']);
    expect(result.measures).to.deep.equal({ RR: (1 + 1 / 3) / 2, 'P@1': 1 / 2 });
    expect(result.perQuery['RR']?.get('q2')).to.equal(1 / 3);
    expect(result).to.include({ queries: 2, passages: 4 });
    expect(result.seconds).to.be.greaterThan(0);
  });

  it('gives the encoder the texts as models read them, and says which are queries', async () => {
    const model = new LetterCounter();
    await evaluate({ model, data, maxLength: 33 });
    expect(model.calls.map(({ texts, options }) => [options.kind, options.maxLength, texts])).to.deep.equal([
      ['query', 33, ['aaaa', 'bbb']],
      ['passage', 33, ['aaa aab', 'bbbb b', 'ccc', 'bbbbbb']],
    ]);
  });

  it('gives the same from a directory as from memory, with the default measures', async () => {
    const fromDirectory = await evaluate({ model: new LetterCounter(), data: directory });
    expect(Object.keys(fromDirectory.measures)).to.deep.equal(['nDCG@10', 'R@100', 'RR@10', 'AP', 'P@10']);
    const inMemory = await evaluate({ model: new LetterCounter(), data });
    expect(fromDirectory.measures).to.deep.equal(inMemory.measures);
    expect(fromDirectory.run).to.deep.equal(inMemory.run);
  });

  it('evaluates one model on several sets, each under its name', async () => {
    const model = new LetterCounter();
    const sets = [directory, { name: 'again', data }];
    const [one, two] = await evaluateSets({ model, data: sets });
    expect(one).to.include({ name: directory, queries: 2, passages: 4 });
    expect(two!.name).to.equal('again');
    expect(two!.measures).to.deep.equal(one!.measures);
    expect(two!.run).to.deep.equal(one!.run);
    const error = await rejection(evaluateSets({ model, data: [] }));
    expect(error.message).to.equal('Expected one test set or more for data but received an array of 0.');
  });

  it('searches no deeper than k, and reports progress of every stage', async () => {
    const seen: Progress[] = [];
    const onProgress = (progress: Progress) => seen.push(progress);
    const { run, measures } = await evaluate({
      model: new LetterCounter(),
      data,
      k: 2,
      measures: ['R@2'],
      onProgress,
    });
    expect(run.get('q1')).to.have.length(2);
    expect(measures).to.deep.equal({ 'R@2': 1 / 2 });
    expect([...new Set(seen.map(({ stage }) => stage))]).to.deep.equal(['encoding', 'searching']);
  });

  it('refuses wrong options before it encodes anything', async () => {
    const model = new LetterCounter();
    const wrong: [object, string][] = [
      [{ measures: ['F1@3'] }, 'Expected one of nDCG[@k]'],
      [{ k: 0 }, 'Expected a whole number from 1 for k but received 0.'],
      [{ k: 50 }, 'Expected at least 100, as R@100 needs, for k but received 50; or leave R@100 out of the measures.'],
      [{ maxlength: 3 }, 'evaluate has no option "maxlength"; did you mean "maxLength"?'],
      [{ data: { ...data, corpus: [] } }, 'Expected at least one passage for data.corpus but received an array of 0.'],
      [
        { data: { ...data, queries: queries.slice(1) } },
        'Expected every query of data.qrels for data.queries but received "no query "q1""',
      ],
      [
        { data: { ...data, corpus: [...corpus, corpus[0]] } },
        'Expected each id once for data.corpus but received "p1".',
      ],
      [{ data: undefined }, 'Expected a BEIR directory, or {corpus: [...], queries: [...], qrels: Map} for data'],
    ];
    for (const [options, message] of wrong) {
      const error = await rejection(evaluate({ model, data, ...options }));
      expect(error).to.include({ code: 'INVALID_ARGUMENT' });
      expect(error.message).to.contain(message);
    }
    expect(model.calls).to.deep.equal([]);
    const splits = await rejection(evaluate({ model, data: directory, split: 'dev' }));
    expect(splits).to.be.instanceOf(NotFoundError);
    expect(splits.message).to.contain('but the splits there are: test.');
    await writeFile(join(directory, 'qrels', 'broken.tsv'), 'q1\tp1\n');
    expect(await rejection(evaluate({ model, data: directory, split: 'broken' }))).to.be.instanceOf(DataError);
  });

  it('says so when embeddings are not finite', async () => {
    const broken: TextEmbedder = {
      dimension: 2,
      encode: async (texts) => new Float32Array(texts.length * 2).fill(Number.NaN),
    };
    const error = await rejection(evaluate({ model: broken, data }));
    expect(error.code).to.equal('INVALID_ARGUMENT');
    expect(error.message).to.equal('Expected finite numbers for queries (row 0) but received NaN.');
  });

  it('hands the signal on and stops', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const model: TextEmbedder = {
      dimension: 2,
      encode: async (texts, { signal }) => {
        controller.abort(reason);
        signal?.throwIfAborted();
        return new Float32Array(texts.length * 2);
      },
    };
    expect(await rejection(evaluate({ model, data, signal: controller.signal }))).to.equal(reason);
  });
});

describe('compare, on models', () => {
  it('runs each model on the collection and names the stage after it', async () => {
    const stages = new Set<string>();
    const result = await compare({
      base: { name: 'blind', model: new LetterCounter('ab') },
      others: [{ name: 'seeing', model: new LetterCounter() }],
      data,
      measures: ['RR'],
      onProgress: ({ stage }) => stages.add(stage),
    });
    expect(result.sets[0]!.means['seeing']).to.deep.equal({ RR: (1 + 1 / 3) / 2 });
    expect(result.sets[0]!.means['blind']?.['RR']).to.be.lessThan((1 + 1 / 3) / 2);
    expect([...stages]).to.deep.equal([
      'blind: encoding',
      'blind: searching',
      'seeing: encoding',
      'seeing: searching',
      'comparing',
    ]);
  });
});

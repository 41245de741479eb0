import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { evaluate } from '../lib/evaluation/evaluate.js';
import { trainListwise } from '../lib/training/train.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { trainingTask } from './training-task.js';

describe('trainListwise with queries of people', () => {
  const { corpus, train, dev } = trainingTask();
  const quick = {
    model: writeTinyModel(),
    corpus,
    lists: train,
    dev,
    batchSize: 10,
    learningRate: 3e-3,
    warmupSteps: 2,
  };
  const output = () => join(temporaryDirectory(), 'run');
  let data: string;

  before(() => {
    data = join(temporaryDirectory(), 'data');
    mkdirSync(join(data, 'qrels'), { recursive: true });
    const jsonl = (records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
    writeFileSync(join(data, 'corpus.jsonl'), jsonl([...corpus].map(([_id, text]) => ({ _id, text }))));
    writeFileSync(join(data, 'queries.jsonl'), jsonl(dev.map(({ id, query }) => ({ _id: id, text: query }))));
    const judged = dev.map(({ id, passages }) => `${id}\t${passages[0]!.id}\t1\n`).join('');
    writeFileSync(join(data, 'qrels', 'dev.tsv'), `query-id\tcorpus-id\tscore\n${judged}`);
  });

  it('measures nDCG@10 at each evaluation, and logs it', async () => {
    const directory = output();
    const result = await trainListwise({ ...quick, devData: data, epochs: 2, output: directory });
    const log = readFileSync(join(directory, 'log.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const records = log.filter(({ kind }) => kind === 'evaluation');
    expect(records.map(({ human }) => [human.queries, human.passages])).to.deep.equal(Array(3).fill([10, 60]));
    const base = await evaluate({ model: quick.model, data, split: 'dev', measures: ['nDCG@10'] });
    expect(result.base!.human!['nDCG@10']).to.be.closeTo(base.measures['nDCG@10']!, 1e-9);
    const last = await evaluate({ model: result.directory, data, split: 'dev', measures: ['nDCG@10'] });
    expect(result.best!.human!['nDCG@10']).to.be.closeTo(last.measures['nDCG@10']!, 1e-9);
  });

  it('reads as much of a text as training does, before the weights are replaced and after', async () => {
    // Behind the 8 tokens stands what another passage says: a model that reads on ranks differently.
    const far = join(temporaryDirectory(), 'far');
    mkdirSync(join(far, 'qrels'), { recursive: true });
    const texts = [...corpus.values()];
    const longer = (text: string, i: number) => `${text} ${`${texts[(i * 7 + 3) % texts.length]} `.repeat(5)}`;
    const jsonl = (records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
    writeFileSync(
      join(far, 'corpus.jsonl'),
      jsonl([...corpus].map(([_id, text], i) => ({ _id, text: longer(text, i) }))),
    );
    writeFileSync(
      join(far, 'queries.jsonl'),
      jsonl(dev.map(({ id, query }, i) => ({ _id: id, text: longer(query, i + 9) }))),
    );
    writeFileSync(join(far, 'qrels', 'dev.tsv'), readFileSync(join(data, 'qrels', 'dev.tsv')));
    const lengths = { passageMaxLength: 8, queryMaxLength: 8 };
    const directory = output();
    const options = { ...quick, ...lengths, devData: far, chooseBy: 'nDCG@10', maxSteps: 4, evaluateEvery: 2 } as const;
    const stop = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 3 && stop.abort(new Error('enough'));
    await rejection(trainListwise({ ...options, output: directory, checkpointEvery: 1, signal: stop.signal, onStep }));
    const result = await trainListwise({ ...options, output: directory, resume: 'must' });
    const of = async (model: string, maxLength?: number) =>
      (await evaluate({ model, data: far, split: 'dev', measures: ['nDCG@10'], maxLength })).measures['nDCG@10']!;
    expect(result.base!.human!['nDCG@10']).to.be.closeTo(await of(quick.model, 8), 1e-9);
    expect(result.base!.human!['nDCG@10']).to.not.be.closeTo(await of(quick.model), 0.01);
    expect(result.best!.human!['nDCG@10']).to.be.closeTo(await of(result.directory, 8), 1e-9);
  });

  it('samples queries and passages around the judged ones', async () => {
    const sample = { devData: data, devQueries: 4, devDistractors: 20, maxSteps: 1 };
    const { base } = await trainListwise({ ...quick, ...sample, output: output() });
    expect(base!.human!.queries).to.equal(4);
    expect(base!.human!.passages).to.be.within(21, 24);
  });

  it('chooses and stops by it where asked', async () => {
    // Lists turned upside down make the ranking worse while the losses on them get better.
    const upsideDown = (lists: typeof train) =>
      lists.map((list) => ({
        ...list,
        passages: list.passages.map(({ id, score }) => ({ id, score: 1 - score })).reverse(),
      }));
    const wrong = { ...quick, lists: upsideDown(train), dev: upsideDown(dev), devData: data, epochs: 12, patience: 3 };
    const byLoss = await trainListwise({ ...wrong, output: output() });
    const byMeasure = await trainListwise({ ...wrong, chooseBy: 'nDCG@10', output: output() });
    const measures = byMeasure.evaluations.map(({ human }) => human!['nDCG@10']);
    expect(byMeasure.best!.human!['nDCG@10']).to.equal(Math.max(...measures));
    expect(byMeasure.stopped).to.equal('patience');
    expect(byLoss.best!.step).to.be.above(byMeasure.best!.step);
    expect(byLoss.best!.human!['nDCG@10']).to.be.below(byMeasure.best!.human!['nDCG@10']);
  });

  it('is another run when the judgements change', async () => {
    const directory = output();
    const stop = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 5 && stop.abort(new Error('enough'));
    const options = { ...quick, devData: data, epochs: 3, output: directory, checkpointEvery: 2 };
    await rejection(trainListwise({ ...options, signal: stop.signal, onStep }));
    const file = join(data, 'qrels', 'dev.tsv');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.replace(/\t1\n/, '\t2\n'));
    const { message } = await rejection(trainListwise({ ...options, resume: 'must' }));
    writeFileSync(file, before);
    expect(message).to.include('is another one: the dev data changed;');
  });

  const bad: [object, string][] = [
    [
      { chooseBy: 'nDCG@10' },
      "Expected queries that people judged, as chooseBy is 'nDCG@10', for devData but received undefined.",
    ],
    [{ chooseBy: 'R@10' }, "Expected 'loss' or 'nDCG@10' for chooseBy but received \"R@10\"."],
    [{ devData: 5 }, 'Expected a directory for devData but received 5.'],
    [
      { devData: 'x', dev: undefined },
      'Expected lists for dev beside devData, which is measured where their losses are, for dev but received undefined.',
    ],
  ];
  for (const [change, message] of bad) {
    it(`refuses ${JSON.stringify(change)}`, async () => {
      const error = await rejection(
        trainListwise({ ...quick, ...change, output: output() } as typeof quick & { output: string }),
      );
      expect(error.message).to.equal(message);
    });
  }
});

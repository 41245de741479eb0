import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { compare } from '../lib/evaluation/compare.js';
import { evaluate } from '../lib/evaluation/evaluate.js';
import { readLists } from '../lib/lists/file.js';
import { specialize } from '../lib/specialize/specialize.js';
import { runStatus } from '../lib/specialize/status.js';
import type { StudyFacts } from '../lib/study/results.js';
import type { Study } from '../lib/study/study.js';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';
import { collection, model, runStudy, studyOptions, wholeOptions, wholeStudy } from './study-runs.js';
import { PASSAGES, tinyRun } from './tiny-run.js';

const TYPES = ['only-web', 'only-title', 'mixed'];
const SOURCES = ['human', 'written', 'human-and-written', 'both'];

describe('study', function () {
  this.timeout(120_000);
  let whole: Study;
  let wholeDid: string[];

  const place = (...names: string[]) => join(whole.directory, ...names);
  const lists = (variant: string, side: 'train' | 'dev', seed = 1) =>
    readLists(place('variants', variant, `seed-${seed}`, `lists.${side}.jsonl`), { corpus: { has: () => true } });
  const variant = (name: string, facts: StudyFacts = whole) => facts.variants.find((one) => one.name === name)!;

  before(async () => {
    ({ result: whole, did: wholeDid } = await wholeStudy());
  });

  it('makes a table of each comparison, of variants that are trained once wherever they stand', () => {
    const rows = whole.tables.map(({ id, rows: of }) => [id, of.map((row) => row.variant)]);
    expect(rows).to.deep.equal([
      ['losses', ['infonce', 'listwise', 'both']],
      ['types', TYPES],
      ['sources', SOURCES],
    ]);
    const names = ['infonce', 'listwise', 'both', ...TYPES, ...SOURCES.slice(0, 3)];
    expect(whole.variants.map(({ name }) => name)).to.deep.equal(names);
    expect(readdirSync(place('variants')).sort()).to.deep.equal([...names].sort());
    const trained = wholeDid.filter((event) => /^train\..* done$/.test(event));
    expect(trained).to.have.length(names.length);
    expect(whole.leftOut).to.deep.equal([]);
  });

  it('gives each variant its losses, and all the same other options', () => {
    const summary = (name: string) =>
      JSON.parse(readFileSync(place('variants', name, 'seed-1', 'training.json'), 'utf8')).options;
    const weights = (name: string) => {
      const { listwiseWeight, contrastiveWeight } = summary(name);
      return [listwiseWeight, contrastiveWeight];
    };
    expect(weights('infonce')).to.deep.equal([0, 1]);
    expect(weights('listwise')).to.deep.equal([1, 0]);
    for (const name of ['both', 'only-web', 'human']) expect(weights(name)).to.deep.equal([1, 0.1]);
    for (const { name, trials } of whole.variants) {
      expect(summary(name)).to.include({ learningRate: 1e-3, batchSize: 16, maxSteps: 3, seed: 1 });
      expect(trials[0]).to.include({ steps: 3, stopped: 'maxSteps' });
    }
  });

  it('trains the variants of a comparison of queries on equal numbers, of the right ones', async () => {
    const counts = (names: string[]) => new Set(names.map((name) => variant(name).trials[0]!.lists.train));
    expect(counts(TYPES).size).to.equal(1);
    expect(counts(['human', 'written']).size).to.equal(1);
    const typesIn = async (name: string) => (await lists(name, 'train')).map(({ type }) => type);
    expect(new Set(await typesIn('only-web'))).to.deep.equal(new Set(['web']));
    expect(new Set(await typesIn('human'))).to.deep.equal(new Set(['human']));
    const mixed = await typesIn('mixed');
    const web = mixed.filter((type) => type === 'web').length;
    expect(Math.abs(2 * web - mixed.length)).to.be.at.most(1);
    expect(await typesIn('written')).to.not.include('human');
    expect(new Set(await typesIn('human-and-written')).size).to.equal(3);
    const all = await readLists(place('lists.train.jsonl'), { corpus: { has: () => true } });
    expect(await lists('human-and-written', 'train')).to.deep.equal(all);
    expect(await lists('both', 'train')).to.deep.equal(all.filter(({ type }) => type !== 'human'));
  });

  it('stops no variant by passages that another was trained to find', async () => {
    const sources = { train: new Set<string>(), dev: new Set<string>() };
    for (const { name, trials } of whole.variants) {
      const [train, dev] = [await lists(name, 'train'), await lists(name, 'dev')];
      expect([train.length, dev.length]).to.deep.equal([trials[0]!.lists.train, trials[0]!.lists.dev]);
      for (const { source } of train) sources.train.add(source!);
      for (const { source } of dev) sources.dev.add(source!);
    }
    expect(sources.dev.size).to.be.above(2);
    for (const source of sources.dev) expect(sources.train.has(source), source).to.equal(false);
  });

  it('matches the temperature of the teacher as training would, without encoding anything', async () => {
    const { trainListwise } = await import('../lib/training/train.js');
    const folder = place('variants', 'only-title', 'seed-1');
    const { teacherTemperature } = await trainListwise({
      ...{ model, corpus: collection, lists: join(folder, 'lists.train.jsonl'), output: temporaryDirectory() },
      ...{ maxSteps: 1, batchSize: 16, warmupSteps: 0 },
    });
    expect(variant('only-title').trials[0]!.teacherTemperature).to.be.closeTo(teacherTemperature, 1e-4);
    const other = variant('human').trials[0]!.teacherTemperature;
    expect(Math.abs(other - teacherTemperature)).to.be.above(1e-3);
  });

  it('says of base and variants what evaluate and compare say', async () => {
    const measures = ['nDCG@10', 'R@100'];
    expect(whole.measures).to.deep.equal(measures);
    expect(whole.base).to.deep.equal((await evaluate({ model, data: collection, measures })).measures);
    for (const { id, rows, comparison } of whole.tables) {
      const others = rows.map((row) => ({
        name: row.variant,
        run: place('variants', row.variant, 'seed-1', 'test.trec'),
      }));
      const base = { name: 'base', run: place('study', 'base.trec') };
      const expected = await compare({ base, others, data: collection, measures, resamples: 200, examples: 0 });
      expect(comparison, id).to.deep.equal(expected);
    }
    const trained = place('variants', 'both', 'seed-1', 'model');
    const { measures: again } = await evaluate({ model: trained, data: collection, measures });
    expect(variant('both').trials[0]!.measures).to.deep.equal(again);
    expect(again).to.not.deep.equal(whole.base);
  });

  it('ranks as the teacher does where that is at hand', async () => {
    expect(whole.teacher).to.have.all.keys('nDCG@10', 'R@100');
    const dense = studyOptions({ denseWeight: 1, bm25Weight: 0, measures: ['nDCG@10'], variants: ['listwise'] });
    const { result } = await runStudy(dense);
    expect(result.base['nDCG@10']).to.be.within(0.1, 0.99);
    // BM25 adds candidates alone, and the teacher that weighs none of it ranks as the base does.
    expect(result.teacher).to.deep.equal(result.base);
    const scores = join(temporaryDirectory(), 'scores.jsonl');
    writeFileSync(scores, readFileSync(join(dense.output, 'scores.jsonl')));
    const elsewhere = await runStudy(studyOptions({ teacher: { scores }, variants: ['listwise'] }));
    expect(elsewhere.result).to.not.have.property('teacher');
  });

  it('does nothing twice, and adds variants and seeds to what is there', async () => {
    const files = () =>
      readdirSync(whole.directory, { recursive: true, encoding: 'utf8' })
        .filter((file) => /safetensors|\.npy|\.trec|scores\.jsonl/.test(file))
        .map((file) => [file, statSync(place(file)).mtimeMs]);
    const before = files();
    expect(before.length).to.be.above(20);
    const { did, result } = await runStudy(wholeOptions);
    expect(did.filter((event) => !event.endsWith(' reused'))).to.deep.equal([]);
    expect(files()).to.deep.equal(before);
    const json = (value: object) => JSON.parse(JSON.stringify({ ...value, seconds: 0 }));
    expect(json(result)).to.deep.equal(json(whole));

    const seeds = await runStudy({ ...wholeOptions, variants: ['types', 'both'], seeds: [1, 2] });
    const done = seeds.did.filter((event) => event.endsWith(' done'));
    expect(done).to.have.length(8);
    expect(done.every((event) => event.includes('.2 '))).to.equal(true);
    expect(files().filter(([file]) => before.some(([known]) => known === file))).to.deep.equal(before);
    const { trials, measures } = variant('mixed', seeds.result);
    const values = trials.map((trial) => trial.measures['nDCG@10']!);
    expect(values).to.have.length(2);
    expect(measures['nDCG@10']!.mean).to.be.closeTo((values[0]! + values[1]!) / 2, 1e-12);
    expect(measures['nDCG@10']!.deviation).to.be.closeTo(Math.abs(values[0]! - values[1]!) / Math.SQRT2, 1e-12);
    const types = seeds.result.tables.find(({ id }) => id === 'types')!;
    const row = types.comparison.differences.find(
      ({ system, measure }) => system === 'mixed' && measure === 'nDCG@10',
    )!;
    expect(row.value).to.be.closeTo(measures['nDCG@10']!.mean, 1e-12);
    const ids = async (seed: number) => (await lists('mixed', 'train', seed)).map(({ id }) => id);
    expect(await ids(2)).to.not.deep.equal(await ids(1));
    // The same directory holds the first study again, for those who look at it later.
    await runStudy(wholeOptions);
  });

  it('is followed by runStatus', async () => {
    const { stages, state } = await runStatus(whole.directory);
    expect(state).to.equal('stopped');
    expect(stages.filter((one) => one.state !== 'done')).to.deep.equal([]);
    const names = stages.map(({ stage }) => stage);
    expect(names).to.include.members(['lists', 'test.base', 'train.both.1', 'test.both.1']);
    expect(names).to.not.include('promotion');
  });

  it('goes on where it was stopped, within a training too, and gives the same', async () => {
    const given = studyOptions({ variants: ['infonce', 'listwise'], maxSteps: 4, checkpointEvery: 2 });
    const controller = new AbortController();
    let steps = 0;
    const onStep = () => {
      steps += 1;
      // In the third step of the second variant.
      if (steps === 7) controller.abort(new Error('enough'));
    };
    const error = await rejection(runStudy({ ...given, onStep, signal: controller.signal }));
    expect(error.message).to.equal('enough');
    const told: TrainingEvent[] = [];
    const { did, result } = await runStudy({ ...given, onEvent: (event) => told.push(event) });
    expect(did).to.include.members(['train.infonce.1 reused', 'train.listwise.1 continued', 'test.listwise.1 done']);
    const resumed = told.filter(({ kind }) => kind === 'resumed') as { step: number }[];
    expect(resumed).to.have.length(1);
    // On a slow machine the abort itself is worth a checkpoint.
    expect(resumed[0]!.step).to.be.within(2, 3);
    const { result: straight } = await runStudy({ ...given, output: join(temporaryDirectory(), 'straight') });
    const figures = ({ variants, tables, contrasts, findings }: Study) => ({
      variants: variants.map(({ trials, ...rest }) => ({ ...rest, trials: trials.map(withoutTimes) })),
      ...{ tables, contrasts, findings },
    });
    expect(figures(result)).to.deep.equal(figures(straight));
  });

  const withoutTimes = <T extends { seconds: number; testSeconds: number }>({ seconds, testSeconds, ...rest }: T) =>
    rest;

  it('takes over the stages of specialize, and asks before it loses trained variants', async () => {
    const given = studyOptions({ variants: ['both'] });
    // With the same test set: its queries are not to be trained on.
    const shared = tinyRun({
      collection,
      model,
      humanQueries: collection,
      data: collection,
      devShare: 0.2,
      until: 'lists',
    });
    await specialize({ ...shared, output: given.output });
    const { did } = await runStudy(given);
    expect(did.slice(0, 6).every((event) => event.endsWith(' reused'))).to.equal(true);
    const heard: object[] = [];
    const changed = { ...given, learningRate: 2e-3 };
    const refuse = (lost: object[]) => {
      heard.push(...lost);
      return false;
    };
    const error = await rejection(runStudy({ ...changed, onInvalidate: refuse }));
    expect(error.code).to.equal('NOT_CONFIRMED');
    expect(heard).to.deep.equal([
      { stage: 'train.both.1', reason: 'learningRate changed from 0.001 to 0.002', later: ['test.both.1'] },
    ]);
    expect((await runStudy(changed)).did).to.include.members(['train.both.1 invalidated', 'test.both.1 done']);
  });

  it('asks before it loses a variant that is half trained, and says how many steps', async () => {
    const given = { ...studyOptions({ variants: ['both'] }), checkpointEvery: 1 };
    const controller = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 2 && controller.abort(new Error('enough'));
    await rejection(runStudy({ ...given, onStep, signal: controller.signal }));
    const changed = { ...given, learningRate: 2e-3, onInvalidate: () => false };
    expect((await rejection(runStudy(changed))).message).to.match(
      /train\.both\.1 is done again: learningRate changed from 0\.001 to 0\.002 \(train\.both\.1 had done [12] steps?\)\./,
    );
  });

  it('trains to the end where there are no dev lists, and leaves out types with too few lists', async () => {
    const { result } = await runStudy(studyOptions({ variants: ['types', 'both'], listsPerType: 1000, devShare: 0 }));
    const [trial] = variant('both', result).trials;
    expect(trial).to.deep.include({ steps: 3, stopped: 'maxSteps', devBase: null, devBest: null });
    expect(trial!.lists.dev).to.equal(0);
    expect(trial!.measures).to.not.deep.equal(result.base);
    expect(result.leftOut.map((one) => one.variant)).to.deep.equal(['only-web', 'only-title', 'mixed']);
    expect(result.leftOut[0]!.reason).to.match(/^it has \d+ training lists, fewer than 1000$/);
    expect(result.tables.map(({ id }) => id)).to.deep.equal(['losses']);
    expect(result.findings[2]!.outcome).to.equal('not studied');
    const nothing = await rejection(runStudy(studyOptions({ variants: ['types'], listsPerType: PASSAGES })));
    expect(nothing.message).to.match(
      /lists\.train\.jsonl: Expected lists for at least one variant but only-web: it has/,
    );
  });
});

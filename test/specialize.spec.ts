import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { readTrecRun } from '../lib/formats/trec.js';
import { readLists } from '../lib/lists/file.js';
import type { EvaluationResult } from '../lib/specialize/evaluation-stage.js';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { specialize } from '../lib/specialize/specialize.js';
import type { StageEvent } from '../lib/specialize/stage-runner.js';
import { realModel, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { jsonl, PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

const lines = (file: string) => readFileSync(file, 'utf8').trimEnd().split('\n');

describe('specialize', function () {
  this.timeout(60_000);
  let collection: string;
  let model: string;
  let events: StageEvent[];

  before(() => {
    collection = writeCollection();
    model = writeTinyModel();
  });

  /** Small enough for random weights: half of the corpus counts as near. */
  const options = (more: Partial<SpecializeOptions> = {}): SpecializeOptions =>
    tinyRun({ collection, model, onStage: (event) => events.push(event), ...more });
  const run = async (given: SpecializeOptions) => {
    events = [];
    const result = await specialize(given);
    return { ...result, did: events.map(({ stage, status }) => `${stage} ${status}`) };
  };

  it('goes from passages and written queries to a trained model and a comparison on the test set', async () => {
    const given = options({ data: collection, retrievers: ['dense', 'bm25'] });
    const { directory, evaluation, stages, did, ...result } = await run(given);
    expect(did).to.have.length(18);

    expect(JSON.parse(readFileSync(join(directory, 'corpus.json'), 'utf8'))).to.include({ passages: PASSAGES });
    expect(lines(join(directory, 'queries.jsonl'))).to.have.length(2 * PASSAGES);
    const fused = await readTrecRun(join(directory, 'candidates', 'fused.trec'));
    expect([...fused.keys()]).to.include('p10:web');
    for (const name of ['dense', 'bm25']) {
      expect((await readTrecRun(join(directory, 'candidates', `${name}.trec`))).size).to.equal(2 * PASSAGES);
    }
    const pairs = [...fused.values()].reduce((sum, ranking) => sum + ranking.length, 0);
    expect(lines(join(directory, 'scores.jsonl'))).to.have.length(pairs);

    const corpus = new Set(Array.from({ length: PASSAGES }, (_, i) => `p${i}`));
    const train = await readLists(join(directory, 'lists.train.jsonl'), { corpus });
    const dev = await readLists(join(directory, 'lists.dev.jsonl'), { corpus });
    const sources = new Set(train.map(({ source }) => source));
    for (const list of [...train, ...dev]) {
      expect(list.passages).to.have.length(5);
      expect(list.passages[0]!.id).to.equal(list.source);
    }
    for (const { source } of dev) expect(sources.has(source), `${source} on both sides`).to.equal(false);
    // Every query is a list or has a reason.
    expect(train.length + dev.length + lines(join(directory, 'dropped.jsonl')).length).to.equal(2 * PASSAGES);

    expect(result.trained).to.equal(join(directory, 'training', 'model'));
    expect(result.model).to.equal(join(directory, 'model'));
    await using base = await Embedder.load(model);
    await using trained = await Embedder.load(result.trained!);
    const [before, after] = [await base.encode(['abc']), await trained.encode(['abc'])];
    expect(after).to.not.deep.equal(before);

    expect(evaluation!.on).to.equal('test');
    expect(evaluation!.comparison).to.deep.include({ base: 'base', others: ['trained'], resamples: 200 });
    expect(evaluation!.comparison.sets[0]).to.include({ name: collection, queries: 5 });
    const stored: EvaluationResult = JSON.parse(readFileSync(join(directory, 'evaluation', 'comparison.json'), 'utf8'));
    expect(stored).to.deep.equal(evaluation);
    const perQuery = JSON.parse(readFileSync(join(directory, 'evaluation', 'trained.json'), 'utf8'));
    expect(Object.keys(perQuery.perQuery['nDCG@10'])).to.have.length(5);
    expect(stages.training!.counts).to.deep.include({ steps: 3, stopped: 'maxSteps' });
  });

  it('evaluates the base as a fresh evaluation of it does, from the embeddings that were there', async () => {
    const { evaluate } = await import('../lib/evaluation/evaluate.js');
    const { evaluation } = await run(options({ data: collection }));
    const { measures } = await evaluate({ model, data: collection });
    const means = evaluation!.comparison.sets[0]!.means.base!;
    expect(means['nDCG@10']).to.be.above(0);
    expect(means).to.deep.equal(measures);
  });

  it('does nothing twice, and again only what an option changes', async () => {
    const given = options();
    await run(given);
    const first = readFileSync(join(given.output, 'training', 'model', 'model.safetensors'));
    expect((await run(given)).did.every((event) => event.endsWith(' reused'))).to.equal(true);

    const { did } = await run({ ...given, learningRate: 2e-3 });
    expect(did.filter((event) => event.endsWith(' reused'))).to.have.length(6);
    expect(events.find(({ status }) => status === 'invalidated')).to.deep.include({
      stage: 'training',
      reason: 'learningRate changed from 0.001 to 0.002',
      later: ['evaluation', 'promotion'],
    });
    const second = readFileSync(join(given.output, 'training', 'model', 'model.safetensors'));
    expect(second.equals(first)).to.equal(false);
  });

  it('gives the same lists and weights for the same seed', async () => {
    const [one, two] = [options(), options()];
    await run(one);
    await run(two);
    for (const file of ['lists.train.jsonl', 'lists.dev.jsonl', 'scores.jsonl', 'training/model/model.safetensors']) {
      const [a, b] = [one, two].map(({ output }) => readFileSync(join(output, file)));
      expect(a!.equals(b!), file).to.equal(true);
    }
    const other = options({ seed: 5, until: 'lists' });
    await run(other);
    const dev = [one, other].map(({ output }) => readFileSync(join(output, 'lists.dev.jsonl'), 'utf8'));
    expect(dev[0]).to.not.equal(dev[1]);
  });

  it('says that dev lists are no fair test where no test set is given', async () => {
    const { evaluation, promotion } = await run(options());
    expect(evaluation!.on).to.equal('dev');
    expect(promotion!.verdict.text).to.contain('No test set was given');
  });

  it('stops after a stage, and goes on with scores from a file', async () => {
    const given = options({ until: 'candidates' });
    const { stages, model: trained } = await run(given);
    expect(Object.keys(stages)).to.deep.equal(['corpus', 'embeddings', 'queries', 'candidates']);
    expect(trained).to.equal(undefined);
    const fused = await readTrecRun(join(given.output, 'candidates', 'fused.trec'));
    const scores = join(temporaryDirectory(), 'scores.jsonl');
    const scored = [...fused].flatMap(([query, ranking]) =>
      ranking.map(({ id }, i) => ({ query, passage: id, score: id === query.split(':')[0] ? 10 : -i / 10 })),
    );
    writeFileSync(scores, jsonl(scored));
    const { did } = await run({ ...given, until: 'lists', teacher: { scores } });
    expect(did.slice(0, 4).every((event) => event.endsWith(' reused'))).to.equal(true);
    expect(lines(join(given.output, 'scores.jsonl'))).to.have.length(scored.length);
  });

  it('leaves excluded and judged passages out of sources and candidates, and says so for each query', async () => {
    const excludeQrels = join(temporaryDirectory(), 'others.qrels');
    writeFileSync(excludeQrels, 'q 0 p2 1\nq 0 p3 0\nq 0 p1 1\nq 0 elsewhere 1\n');
    const excluding = { exclude: ['p0', 'p1'], excludeJudged: true, excludeQrels };
    const given = options({ ...excluding, data: collection, until: 'lists' });
    const { stages } = await run(given);
    expect(stages.corpus!.counts).to.include({ excluded: 9 });
    const fused = readFileSync(join(given.output, 'candidates', 'fused.trec'), 'utf8');
    for (const id of ['p0', 'p1', 'p2', 'p3', 'p7', 'p59']) expect(fused).to.not.match(new RegExp(` ${id} `));
    const dropped = lines(join(given.output, 'dropped.jsonl')).map((line) => JSON.parse(line));
    expect(dropped[0]).to.deep.equal({
      ...{ query: 'p0:web', type: 'web', stage: 'queries', filter: 'unusable source' },
      reason: 'source p0 is excluded',
    });
  });

  it('samples source passages', async () => {
    const { stages } = await run(options({ maxPassages: 10, until: 'queries' }));
    expect(stages.queries!.counts).to.deep.equal({ read: 120, dropped: 100, kept: 20, passages: 10 });
  });

  it('refuses options and inputs before any work', async () => {
    const refused = async (more: object) => {
      const given = options(more);
      const error = await rejection(run(given));
      expect(events, error.message).to.deep.equal([]);
      return error.message;
    };
    expect(await refused({ learnRate: 1 })).to.equal(
      'specialize has no option "learnRate"; did you mean "learningRate"?',
    );
    expect(await refused({ learningRate: -1 })).to.contain('for learningRate but received -1');
    expect(await refused({ retrievers: ['splade'] })).to.contain(
      "one or more of 'dense', 'bm25', 'model:<directory or Hub name>', 'run:<file>', ",
    );
    expect(await refused({ teacher: 'gpt' })).to.equal(
      "Expected 'fused', a file of scores, cross-encoder:MODEL, or kind:address#model with one of tei, vllm-score, vllm-rerank, cohere, jina, " +
        'rerank, llm as kind for teacher but received "gpt".',
    );
    expect(await refused({ until: 'the end' })).to.contain('for until but received "the end"');
    expect(await refused({ measures: ['nDGC@10'] })).to.contain('nDGC@10');
    expect(await refused({ significance: 2 })).to.contain('for significance but received 2');
    expect(await refused({ excludeJudged: true })).to.contain('a test set where excludeJudged is true for data');
    expect(await refused({ queries: 'no such file' })).to.contain(
      'Expected a JSON Lines file of written queries at no such file',
    );
    expect(await refused({ teacher: { scores: 'no such file' } })).to.contain(
      'Expected teacher scores at no such file',
    );
    expect(await refused({ data: 'no such directory' })).to.contain('no such directory');
    expect(await refused({ data: collection, split: 'train' })).to.contain('test');
    expect(await refused({ model: join(collection, 'nowhere') })).to.contain('nowhere');
    expect(await refused({ exclude: ['p999'] })).to.equal(
      'exclude names passages that are not in the corpus: "p999"; check that the ids are those of this corpus.',
    );
    expect(await refused({ bm25B: 7 })).to.contain('for bm25B but received 7');
    expect(await refused({ keepPercentile: 700 })).to.contain('for keepPercentile but received 700');
    expect(await refused({ denseWeight: -1 })).to.contain('for denseWeight but received -1');
    expect(await refused({ rrfK: -1 })).to.contain('for rrfK but received -1');
  });

  it('says where the queries went when none is left to train on', async () => {
    const error = await rejection(run(options({ minCandidates: 31 })));
    expect(error.code).to.equal('BAD_DATA');
    expect(error.message).to.match(
      /^No query is left to train on: 120 were dropped \(120 by stage candidates\)\. For example .*dropped\.jsonl has the reason of each/,
    );
    const exclude = Array.from({ length: PASSAGES }, (_, i) => `p${i}`);
    expect((await rejection(run(options({ exclude })))).message).to.contain(
      '120 by stage queries). For example p59:title: ',
    );
  });

  it('trains again for what changes the result, and not for how steps are cut to fit in memory', async () => {
    const given = options({ until: 'training' });
    const { stages } = await run(given);
    const { teacherTemperature, temperatureMatch } = stages.training!.counts as Record<string, any>;
    expect(temperatureMatch.temperature).to.equal(teacherTemperature);
    expect(temperatureMatch.lists).to.equal((stages.lists!.counts as { train: number }).train);
    expect((await run({ ...given, tokenBudget: 64, keepBytes: 0 })).did.at(-1)).to.equal('training reused');
    expect((await run({ ...given, learningRate: 2e-3 })).did.at(-1)).to.equal('training done');
  });

  it('refuses a run directory inside of the base model, before any work', async () => {
    const { message } = await rejection(run(options({ output: join(model, 'run') })));
    expect(message).to.match(/^Expected a directory outside of the base model's \(.*\) for output but received/);
    expect(events).to.deep.equal([]);
    expect(existsSync(join(model, 'run'))).to.equal(false);
  });

  it('refuses an output that is or holds what it reads, or files of others, and leaves them as they were', async () => {
    const before = readFileSync(join(collection, 'queries.jsonl'), 'utf8');
    const stranger = temporaryDirectory();
    writeFileSync(join(stranger, 'queries.jsonl'), '{}\n');
    const refused: [Partial<SpecializeOptions>, string][] = [
      [{ output: collection }, `corpus (${collection}) is in it or is the same place`],
      [{ output: join(collection, '..') }, `corpus (${collection}) is in it`],
      [{ output: collection, corpus: [{ id: 'p0', title: '', text: 'x' }] }, 'queries ('],
      [{ output: dirname(model) }, `model (${model}) is in it`],
      [{ output: stranger }, 'it holds queries.jsonl, which would be overwritten; give another directory.'],
      [{ output: stranger, teacher: { scores: join(stranger, 'scores.jsonl') } }, 'for teacher.scores but received'],
    ];
    for (const [change, message] of refused) {
      const error = await rejection(specialize(options(change)));
      expect(error).to.have.property('code', 'INVALID_ARGUMENT');
      expect(error.message).to.contain(message);
    }
    expect(readFileSync(join(collection, 'queries.jsonl'), 'utf8')).to.equal(before);
    expect(existsSync(join(collection, 'manifest.json'))).to.equal(false);
  });

  it('stops when aborted, and goes on from there', async () => {
    const controller = new AbortController();
    const given = options({ signal: controller.signal });
    const stopping = { ...given, onStep: () => controller.abort(new Error('enough')) };
    expect((await rejection(run(stopping))).message).to.equal('enough');
    const { did } = await run({ ...given, signal: undefined });
    expect(
      did.slice(0, 6).every((event) => event.endsWith(' reused')),
      did.join(', '),
    ).to.equal(true);
    expect(did.at(-1)).to.equal('promotion done');
  });
});

describe('specialize with real weights', function () {
  this.timeout(300_000);

  it('brings all-MiniLM-L6-v2 nearer to the teacher on queries of held-out Cranfield abstracts', async () => {
    const here = join(import.meta.dirname, '..', 'examples', 'cranfield');
    const queries = join(temporaryDirectory(), 'written.jsonl');
    const written = lines(join(here, 'written-queries.jsonl')).slice(0, 240);
    writeFileSync(queries, written.join('\n'));
    const sources = new Set(written.map((line) => JSON.parse(line).passage));
    const passages = lines(join(here, 'corpus.jsonl')).map((line) => JSON.parse(line));
    const corpus = passages
      .filter(({ _id }, i) => sources.has(_id) || i % 40 === 0)
      .map(({ _id, title, text }) => ({ id: _id, title, text }));
    const { stages } = await specialize({
      ...{ corpus, queries, model: realModel, output: join(temporaryDirectory(), 'run'), until: 'training' },
      ...{ passageMaxLength: 64, batchSize: 32, maxSteps: 6, warmupSteps: 1, learningRate: 5e-5, evaluateEvery: 6 },
      devShare: 0.3,
    });
    const { devBase, devBest, steps } = stages.training!.counts as Record<string, any>;
    expect(steps).to.equal(6);
    expect(devBest.step).to.equal(6);
    expect(devBest.listwise).to.be.below(0.95 * devBase.listwise);
  });
});

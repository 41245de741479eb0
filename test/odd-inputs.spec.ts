import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { readTrecRun } from '../lib/formats/trec.js';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { specialize } from '../lib/specialize/specialize.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { jsonl, PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

describe('specialize, given odd inputs,', function () {
  this.timeout(60_000);
  let collection: string;
  let model: string;
  let passages: { _id: string; text: string }[];

  before(() => {
    collection = writeCollection();
    model = writeTinyModel();
    const lines = readFileSync(join(collection, 'corpus.jsonl'), 'utf8').trimEnd().split('\n');
    passages = lines.map((line) => JSON.parse(line));
  });

  const options = (more: Partial<SpecializeOptions> = {}) => tinyRun({ collection, model, ...more });
  const file = (name: string, text: string) => {
    const path = join(temporaryDirectory(), name);
    writeFileSync(path, text);
    return path;
  };
  const beginning = (i: number, words: number) => passages[i]!.text.split(' ').slice(0, words).join(' ');
  const refusal = async (more: object) => rejection(specialize(options(more as Partial<SpecializeOptions>)));

  it('counts types of any name, and leaves the prototypes of all objects alone', async () => {
    const names = ['constructor', '__proto__', 'toString', 'a \u001b[31m type\n', 'half \ud800'];
    const written = passages.map(({ _id }, i) => ({ passage: _id, type: names[i % 5], query: beginning(i, 3) }));
    const given = options({ queries: file('written.jsonl', jsonl(written)), maxSteps: 1 });
    const { stages, report } = await specialize(given);
    for (const stage of ['candidates', 'lists'] as const) {
      const stored = JSON.parse(JSON.stringify(stages[stage]!.counts)) as { byType: Record<string, object> };
      expect(Object.keys(stored.byType), stage).to.have.members(names);
    }
    const { byType } = stages.candidates!.counts as { byType: Record<string, { queries: number }> };
    for (const [type, { queries }] of Object.entries(byType)) expect(queries, type).to.equal(PASSAGES / 5);
    expect({}).to.not.have.property('queries');
    expect(Object).to.not.have.property('queries');
    expect(readFileSync(report!, 'utf8')).to.contain('constructor').and.contain('__proto__');
  });

  it('makes ids of their own where a type ends as a made id does', async () => {
    const types = ['a', 'a', 'a:2', 'a'];
    const written = types.map((type, i) => ({ passage: 'p0', type, query: beginning(0, i + 1) }));
    const given = options({ queries: file('written.jsonl', jsonl(written)), until: 'queries' });
    await specialize(given);
    const kept = readFileSync(join(given.output, 'queries.jsonl'), 'utf8').trimEnd().split('\n');
    expect(kept.map((line) => JSON.parse(line).id)).to.deep.equal(['p0:a', 'p0:a:2', 'p0:a:2:2', 'p0:a:3']);
  });

  it('takes ids that are paths, or names of what every object has', async () => {
    const ids = passages.map((_, i) => ['__proto__', 'constructor', '../../up'][i] ?? `p${i}`);
    const corpus = file('corpus.jsonl', jsonl(passages.map(({ text }, i) => ({ _id: ids[i], text }))));
    const written = ids.map((passage, i) => ({ id: ids[(i + 1) % 60], passage, query: beginning(i, 3) }));
    const given = options({ corpus, queries: file('written.jsonl', jsonl(written)), maxSteps: 1 });
    expect((await specialize(given)).promotion).to.have.property('promoted');
    const run = await readTrecRun(join(given.output, 'candidates', 'dense.trec'));
    expect([...run.keys()]).to.include.members(['__proto__', 'constructor', '../../up']);
  });

  it('refuses ids that no UTF-8 file can hold, before a run is written by them', async () => {
    const half = 'a\ud800';
    const corpus = passages.map(({ _id, text }, i) => ({ id: i === 3 ? half : _id, title: '', text }));
    expect((await refusal({ corpus })).message).to.equal(
      `Expected whole characters, no halves of surrogate pairs, for corpus passage 3's id but received "${half}".`,
    );
    const queries = file('written.jsonl', jsonl([{ id: half, passage: 'p1', query: 'x' }]));
    expect((await refusal({ queries })).message).to.equal(
      `${queries}:1 (field "id"): Expected an id of whole characters but "a\\ud800" has half of a surrogate pair; give another.`,
    );
  });

  it('refuses an output among the text files of its corpus, and takes one in a hidden directory', async () => {
    const corpus = join(temporaryDirectory(), 'texts');
    mkdirSync(corpus);
    for (const { _id, text } of passages) writeFileSync(join(corpus, `${_id}.md`), text);
    const queries = file('written.jsonl', jsonl([{ passage: 'p1.md#1', query: beginning(1, 3) }]));
    const inside = { corpus, queries, until: 'corpus' as const };
    expect((await refusal({ ...inside, output: join(corpus, 'runs', 'one') })).message).to.equal(
      `Expected a directory outside of the corpus (${corpus}), whose files of text are read at any depth, for output but ` +
        `received "${join(corpus, 'runs', 'one')}".`,
    );
    const hidden = await specialize(options({ ...inside, output: join(corpus, '.runs') }));
    expect(hidden.stages.corpus!.counts).to.include({ passages: PASSAGES });
  });

  it('says before training that there is nothing to compare the models on', async () => {
    expect((await refusal({ devShare: 0 })).message).to.equal(
      'Expected a test set where devShare is 0, for data but received undefined.',
    );
    const corpus = passages.slice(0, 2).map(({ _id, text }) => ({ id: _id, title: '', text }));
    const written = [0, 1].map((i) => ({ passage: `p${i}`, query: passages[i]!.text }));
    const few = {
      corpus,
      queries: file('written.jsonl', jsonl(written)),
      minCandidates: 2,
      listLength: 2,
      keepPercentile: 100,
    };
    const given = options(few);
    const error = await rejection(specialize(given));
    expect(error.code).to.equal('BAD_DATA');
    expect(error.message).to.equal(
      `${join(given.output, 'lists.dev.jsonl')}: There is no dev list to compare the models on, and no test set was ` +
        'given: give one (data), more queries, or a larger devShare.',
    );
    expect((await specialize({ ...given, until: 'training' })).stages.training!.counts).to.include({ steps: 3 });
  });

  it('refuses exclusions that are none', async () => {
    for (const exclude of [{ a: 1 }, [1, 2], '']) {
      expect((await refusal({ exclude })).message).to.match(
        /^Expected an array of ids, which are strings, or a file of them, for exclude but received /,
      );
    }
  });
});

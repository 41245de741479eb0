import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { specialize } from '../lib/specialize/specialize.js';
import { randomTexts, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { type FaultyServer, startFaultyServer } from './servers/faulty.js';
import { rerankReply } from './servers/rerankers.js';

const PASSAGES = 40;
const KEY = 'sk-very-secret-0123';
const jsonl = (records: object[]) => `${records.map((record) => JSON.stringify(record)).join('\n')}\n`;

function writeCollection(): string {
  const directory = temporaryDirectory();
  const texts = randomTexts(PASSAGES, { longest: 8, seed: 4 }).map((text, i) => `${text} passage ${'abcdef'[i % 6]}`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'corpus.jsonl'), jsonl(texts.map((text, i) => ({ _id: `p${i}`, title: '', text }))));
  const written = texts.map((text, i) => ({
    passage: `p${i}`,
    type: 'web',
    query: text.split(' ').slice(0, 3).join(' '),
  }));
  writeFileSync(join(directory, 'written.jsonl'), jsonl(written));
  return directory;
}

describe('the teacher stage of specialize', function () {
  this.timeout(60_000);
  let collection: string;
  let model: string;
  let server: FaultyServer;

  before(() => {
    collection = writeCollection();
    model = writeTinyModel();
  });
  beforeEach(async () => {
    process.env.LISTWISE_TEST_KEY = KEY;
    server = await startFaultyServer({ answer: rerankReply });
  });
  afterEach(async () => {
    delete process.env.LISTWISE_TEST_KEY;
    await server.close();
  });

  const options = (more: Partial<SpecializeOptions> = {}): SpecializeOptions => ({
    corpus: collection,
    model,
    queries: join(collection, 'written.jsonl'),
    output: join(temporaryDirectory(), 'run'),
    ...{ minCharacters: 3, depth: 20, maxSourceRank: 30, minCandidates: 10, listLength: 5, until: 'teacher' },
    ...more,
  });
  const tei = (more = {}) =>
    ({
      kind: 'tei',
      url: server.url,
      keyVariable: 'LISTWISE_TEST_KEY',
      backoff: 0.005,
      timeout: 30,
      ...more,
    }) as const;
  const scoresOf = ({ output }: SpecializeOptions) => readFileSync(join(output, 'scores.jsonl'), 'utf8');

  it('has a cross-encoder here score each pair once, also in other runs of the directory', async () => {
    const place = fileURLToPath(new URL('fixtures/parity/cross-encoders/bert', import.meta.url));
    const given = options({ teacher: `cross-encoder:${place}` });
    const { stages } = await specialize(given);
    const { pairs, scored, asked } = stages.teacher!.counts as Record<string, any>;
    expect(pairs).to.be.above(200);
    expect(scored).to.equal(pairs);
    expect(asked).to.equal(undefined);
    const [name] = readdirSync(join(given.output, 'teacher'));
    const answers = () => readFileSync(join(given.output, 'teacher', name!), 'utf8');
    const [before, scores] = [answers(), scoresOf(given)];
    await specialize({ ...given, depth: 19 });
    expect(answers()).to.equal(before);
    expect(scoresOf(given).length).to.be.below(scores.length);
  });

  it('asks a server once for each pair, and keeps the answers when other options change', async () => {
    const given = options({ teacher: tei({ batchSize: 8 }) });
    const { stages } = await specialize(given);
    const { pairs, scored, asked } = stages.teacher!.counts as Record<string, any>;
    expect(pairs).to.be.above(200);
    expect(scored).to.equal(pairs);
    expect(asked).to.deep.equal([
      { teacher: `tei ${server.url}/rerank`, requests: server.requests.length, pairs, tokens: 0 },
    ]);

    const before = server.requests.length;
    const deeper = await specialize({ ...given, depth: 22 });
    const more = (deeper.stages.teacher!.counts as { pairs: number }).pairs;
    expect(more).to.be.above(pairs);
    const again = server.requests.slice(before).reduce((sum, { body }) => sum + body.texts.length, 0);
    expect(again).to.equal(more - pairs);
  });

  it('writes the same scores after faults and a budget that ran out as in one go', async () => {
    const once = options({ teacher: tei() });
    await specialize(once);
    server.options.share = 0.3;
    const given = options({ teacher: tei({ batchSize: 7, maxPairs: 150, timeout: 0.5 }) });
    const error = await rejection(specialize(given));
    expect(error).to.include({ code: 'BUDGET' });
    expect(existsSync(join(given.output, 'scores.jsonl'))).to.equal(false);
    await specialize({ ...given, teacher: tei({ batchSize: 5, concurrency: 3, timeout: 0.5 }) });
    expect(scoresOf(given)).to.equal(scoresOf(once));
  });

  it('has the key in no file', async () => {
    const given = options({ teacher: tei() });
    await specialize(given);
    expect(server.requests[0]!.headers.authorization).to.equal(`Bearer ${KEY}`);
    const files = readdirSync(given.output, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.length).to.be.above(8);
    for (const { parentPath, name } of files) {
      expect(readFileSync(join(parentPath, name)).includes(KEY), name).to.equal(false);
    }
  });

  it('says before any work that a key is missing, and asks for none where the scores are there', async () => {
    const given = options({ teacher: tei() });
    await specialize(given);
    delete process.env.LISTWISE_TEST_KEY;
    expect((await specialize(given)).stages.teacher!.reused).to.equal(true);
    const events: string[] = [];
    const other = options({ teacher: tei(), onStage: ({ stage }) => events.push(stage) });
    const error = await rejection(specialize(other));
    expect(error.message).to.contain('Expected a key in the environment variable LISTWISE_TEST_KEY but it is not set');
    expect(events).to.deep.equal([]);
    // Scores of another teacher are no reason to go on, and lose them, without the key.
    const fused = options();
    await specialize(fused);
    await rejection(specialize({ ...fused, teacher: tei() }));
    expect((await specialize(fused)).stages.teacher!.reused).to.equal(true);
  });

  it('takes several teachers as one, and says what it took', async () => {
    const given = options({ teacher: ['fused', { teacher: tei(), weight: 2 }] });
    const { stages } = await specialize(given);
    const { pairs, scored } = stages.teacher!.counts as Record<string, number>;
    expect(scored).to.equal(pairs);
    const single = options({ teacher: 'fused' });
    await specialize(single);
    expect(scoresOf(given)).to.not.equal(scoresOf(single));
    expect(scoresOf(given).split('\n').length).to.equal(scoresOf(single).split('\n').length);
    const manifest = JSON.parse(readFileSync(join(given.output, 'manifest.json'), 'utf8'));
    expect(manifest.stages.teacher.options.teachers.map(({ weight }: { weight: number }) => weight)).to.deep.equal([
      1, 2,
    ]);
  });
});

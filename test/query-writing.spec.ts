import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { QueryRecord } from '../lib/queries/outcome.js';
import { type WriteQueriesOptions, writeQueries } from '../lib/queries/write-queries.js';
import { temporaryDirectory } from './helpers.js';
import { cranfield, lines, optionsFor, serve, sources, useServers, written } from './query-servers.js';
import { rejection } from './rejection.js';
import { asked, FAULTS, passageOf, randomFaults } from './servers/llm.js';

describe('writeQueries', function () {
  this.timeout(60_000);
  useServers();

  it('asks for each passage and type once and writes the queries in the order of corpus and types', async () => {
    const server = await serve();
    const given = await optionsFor(server, 10);
    const result = await writeQueries(given);
    expect(result).to.deep.include({ written: 60, failed: {}, rejectedReplies: {}, models: { writer: 60 }, open: 0 });
    const expected = lines(join(cranfield, 'written-queries.jsonl')).slice(0, 60);
    const records = lines<QueryRecord>(result.queries);
    expect(records.map(({ passage, type, query }) => ({ passage, type, query }))).to.deep.equal(expected);
    expect(new Set(records.map(({ promptHash }) => promptHash)).size).to.equal(60);
    expect([...server.answered.values()]).to.deep.equal(Array(60).fill(1));
    expect(server.requests[0]).to.include({ model: 'writer', temperature: 0.8, max_tokens: 50 });
    expect(server.headers[0]).to.not.have.property('authorization');
  });

  for (const stream of [false, true]) {
    const way = stream ? 'streamed replies' : 'replies';
    it(`gives the same queries when 30 % of ${way} go wrong, and uses each answer once`, async () => {
      const calm = await serve();
      const rough = await serve({
        fault: randomFaults(
          0.3,
          FAULTS.filter((kind) => kind !== 'no content' || !stream),
        ),
      });
      const small = { queryTypes: ['question', 'web', 'random'], llmTimeout: 0.3, llmRetries: 30, llmStream: stream };
      const one = await writeQueries(await optionsFor(calm, 40, small));
      const two = await writeQueries(await optionsFor(rough, 40, { ...small, llmConcurrency: 40 }));
      expect(two).to.deep.include({ written: 120, failed: {} });
      expect(readFileSync(two.queries, 'utf8')).to.equal(readFileSync(one.queries, 'utf8'));
      expect(rough.requests.length).to.be.above(150);
      expect(two.retries).to.equal(rough.requests.length - 120);
      expect([...rough.answered.values()]).to.deep.equal(Array(120).fill(1));
      expect(calm.requests[0]!.stream ?? false).to.equal(stream);
    });
  }

  it('goes on where a killed process was, asking nothing twice', async () => {
    const server = await serve({ delay: 5, answer: undefined });
    const given = await optionsFor(server, 40, { corpus: cranfield, maxPassages: 40, queryTypes: ['web', 'title'] });
    const child = spawn(process.execPath, [
      '--import=tsx',
      fileURLToPath(new URL('programs/queries.ts', import.meta.url)),
      JSON.stringify(given),
    ]);
    while (server.answered.size < 20) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    const replies = join(given.output, 'replies.jsonl');
    const stored = lines(replies).length;
    expect(stored).to.be.within(1, 79);
    appendFileSync(replies, '{"passage": "half a li');
    const before = server.requests.length;
    const result = await writeQueries(given);
    expect(result.written).to.equal(80);
    expect(server.requests.length - before).to.equal(80 - stored);
    const fresh = await writeQueries({ ...given, output: join(temporaryDirectory(), 'fresh') });
    expect(readFileSync(result.queries, 'utf8')).to.equal(readFileSync(fresh.queries, 'utf8'));
  });

  it('asks only for what changed options make new', async () => {
    const server = await serve();
    const given = await optionsFor(server, 4, { queryTypes: ['web'] });
    await writeQueries(given);
    const first = readFileSync(join(given.output, 'queries.jsonl'), 'utf8');
    await writeQueries({ ...given, llmConcurrency: 2, maxQueryWords: 19, llmStream: true });
    expect(server.requests).to.have.length(4);
    expect((await writeQueries({ ...given, queryTypes: ['web', 'title'] })).written).to.equal(8);
    expect(server.requests).to.have.length(8);
    await writeQueries({ ...given, llmTemperature: 0.5 });
    expect(server.requests).to.have.length(12);
    await writeQueries(given);
    expect(server.requests).to.have.length(12);
    expect(readFileSync(join(given.output, 'queries.jsonl'), 'utf8')).to.equal(first);
  });

  it('asks again for empty replies, refusals, copies and long ones, with another seed, and counts them', async () => {
    const bad = ['', 'I cannot write a query for this.', 'word '.repeat(30), undefined] as const;
    const attempts = new Map<string, number>();
    const answer = (prompt: string) => {
      const passage = passageOf(prompt);
      const attempt = attempts.get(passage) ?? 0;
      attempts.set(passage, attempt + 1);
      if (attempt === bad.length) return `at last ${passage.length}`;
      return bad[attempt] ?? passage;
    };
    const server = await serve({ answer });
    const given = await optionsFor(server, 3, { queryTypes: ['random'], replyAttempts: 5 });
    const result = await writeQueries(given);
    expect(result.written).to.equal(3);
    expect(result.rejectedReplies).to.deep.equal({ empty: 3, refusal: 3, 'too long': 6 });
    const seeds = server.requests.filter(
      ({ messages }) => messages[0].content === server.requests[0]!.messages[0].content,
    );
    expect(new Set(seeds.map(({ seed }) => seed)).size).to.equal(5);
  });

  it('lists what failed with the reason, leaves it alone, and asks for it alone when told to', async () => {
    let isMended = false;
    const answer = (prompt: string) => (isMended || passageOf(prompt).length % 2 ? written(prompt) : '');
    const server = await serve({ answer });
    const given = await optionsFor(server, 12, { queryTypes: ['question'], replyAttempts: 2 });
    const first = await writeQueries(given);
    const empty = first.failed.empty!;
    expect(empty).to.be.within(1, 11);
    expect(first.written).to.equal(12 - empty);
    const failed = lines(join(given.output, 'failed.jsonl'));
    expect(failed).to.have.length(empty);
    expect(failed[0]).to.deep.include({ type: 'question', place: 0, reason: 'empty', attempts: 2 });
    isMended = true;
    await writeQueries(given);
    expect(server.requests).to.have.length(12 + empty);
    const again = await writeQueries({ ...given, retryFailed: true });
    expect(again).to.deep.include({ written: 12, failed: {} });
    expect(server.requests).to.have.length(12 + 2 * empty);
  });

  it('goes on without the queries that a server refuses one by one', async () => {
    const refuse = (_: number, { messages }: any) =>
      passageOf(messages[0].content).length % 3 === 0
        ? { status: 400, error: { message: 'too many tokens' } }
        : undefined;
    const server = await serve({ refuse });
    const given = await optionsFor(server, 12, { queryTypes: ['question'], llmConcurrency: 1 });
    const result = await writeQueries(given);
    const refused = result.failed['no reply']!;
    expect(refused).to.be.within(1, 11);
    expect(lines(join(given.output, 'failed.jsonl'))[0].detail)
      .to.contain('answered 400')
      .and.contain('too many tokens');
    const before = server.requests.length;
    await writeQueries(given);
    expect(server.requests).to.have.length(before);
    server.options.refuse = undefined;
    expect((await writeQueries({ ...given, retryFailed: true })).written).to.equal(12);
    expect(server.requests).to.have.length(before + refused);
  });

  it('keeps the first of queries that say the same, in the order of the corpus', async () => {
    const server = await serve({
      answer: (prompt) => (prompt.length % 2 ? 'The same Query!' : 'the same query'),
      delay: 2,
    });
    const given = await optionsFor(server, 5, { queryTypes: ['question', 'web'] });
    const result = await writeQueries(given);
    expect(result).to.deep.include({ written: 1, failed: { duplicate: 9 } });
    expect(lines(result.queries)[0]).to.include({ passage: sources[0], type: 'question' });
    expect(lines(join(given.output, 'failed.jsonl'))[0]).to.deep.include({
      reason: 'duplicate',
      detail: `${sources[0]} question`,
    });
  });

  it('writes several queries for a passage and type, each of a prompt of its own', async () => {
    const server = await serve({ answer: undefined });
    const result = await writeQueries(await optionsFor(server, 4, { queryTypes: ['web'], queriesPerPassage: 3 }));
    expect(result.written).to.equal(12);
    expect(new Set(server.requests.map(asked)).size).to.equal(12);
  });

  it("shows the user's own queries as examples, as a type of their own", async () => {
    const server = await serve({ answer: undefined });
    const exampleQueries = join(temporaryDirectory(), 'own.txt');
    writeFileSync(exampleQueries, ['lift wing', 'drag cone', 'heat plate', 'jet noise', 'wing flutter'].join('\n'));
    const result = await writeQueries(await optionsFor(server, 2, { exampleQueries, language: 'Italian' }));
    const types = lines(result.queries)
      .slice(0, 7)
      .map(({ type }) => type);
    expect(types).to.deep.equal(['question', 'claim', 'title', 'keywords', 'web', 'random', 'user']);
    const prompt = server.requests
      .map(({ messages }) => messages[0].content)
      .find((text) => text.includes('Query: jet noise'))!;
    expect(prompt).to.contain('Write in Italian').and.contain('Query: wing flutter');
  });

  it('takes duplicates, excluded passages and those beyond a sample out', async () => {
    const server = await serve({ answer: undefined });
    const corpus = [
      'alpha beta gamma delta',
      'alpha beta gamma delta epsilon',
      'one two three four five',
      'wing',
      'cone of air at rest',
    ];
    const given = await optionsFor(server, 0, { corpus: corpus.map((text, i) => ({ id: `p${i}`, title: '', text })) });
    const more = { queryTypes: ['random'], exclude: ['p2'], minCharacters: 10 };
    expect(lines((await writeQueries({ ...given, ...more })).queries).map(({ passage }) => passage)).to.deep.equal([
      'p1',
      'p4',
    ]);
    expect((await writeQueries({ ...given, ...more, maxPassages: 1 })).written).to.equal(1);
    const excludeQrels = join(temporaryDirectory(), 'judged.tsv');
    writeFileSync(excludeQrels, 'query-id\tcorpus-id\tscore\nq\tp4\t1\nq\tp9\t1\n');
    const judged = await writeQueries({ ...given, ...more, excludeQrels });
    expect(lines(judged.queries).map(({ passage }) => passage)).to.deep.equal(['p1']);
  });

  it('takes near-duplicates out where it is told to', async () => {
    const server = await serve({ answer: undefined });
    const words = 'the lift of a thin wing at high speed falls when the angle grows';
    const texts = [words, words.replace('the', 'all'), 'heat in a slab'];
    const corpus = texts.map((text, i) => ({ id: `p${i}`, title: '', text }));
    const given = { ...(await optionsFor(server, 0, { corpus })), queryTypes: ['random'] };
    const written = async (more: object) =>
      lines((await writeQueries({ ...given, ...more })).queries).map(({ passage }) => passage);
    expect(await written({})).to.deep.equal(['p0', 'p1', 'p2']);
    expect(await written({ nearDuplicates: 0.8 })).to.deep.equal(['p0', 'p2']);
  });

  it('refuses options that cannot be, before any request', async () => {
    const server = await serve();
    const given = await optionsFor(server, 1);
    delete process.env.LISTWISE_NO_KEY;
    const cases: [Partial<WriteQueriesOptions>, RegExp][] = [
      [{ llmModel: undefined }, /the name of a model as the server knows it for llmModel/],
      [{ llmBaseUrl: 'localhost:8000' }, /http:\/\/ or https:\/\/ for llmBaseUrl/],
      [{ llmBaseUrl: 'http://user:pass@host/v1' }, /without user and password for llmBaseUrl/],
      [{ llmKeyEnv: 'sk-abc.def' }, /the name of an environment variable/],
      [{ llmKeyEnv: 'LISTWISE_NO_KEY' }, /it is not set; export it, or name another variable by llmKeyEnv/],
      [{ llmBody: { messages: [] } }, /no field "messages"/],
      [{ llmMaxCost: 1 }, /llmInputPrice and llmOutputPrice of writer/],
      [{ llmTemperature: 3 }, /a number from 0 to 2 for llmTemperature/],
      [{ queriesPerPassage: 0 }, /for queriesPerPassage/],
      [{ llmEndpoints: [{ url: 'x' } as object] }, /llmEndpoints 1 has no option "url"; there are model, baseUrl/],
      [{ llmTemprature: 1 } as object, /did you mean "llmTemperature"\?/],
      [{ llmConcurrency: 0 }, /concurrency/],
      [{ llmNewTokens: 1.5 }, /for llmNewTokens/],
    ];
    for (const [wrong, words] of cases) {
      const error = await rejection(writeQueries({ ...given, ...wrong }));
      expect(error.message, JSON.stringify(wrong)).to.match(words);
      expect(error.code, JSON.stringify(wrong)).to.equal('INVALID_ARGUMENT');
      expect(error.message).to.not.contain('abc.def');
    }
    expect(server.requests).to.have.length(0);
  });

  it('refuses a directory that another process writes to', async () => {
    const server = await serve({ delay: 30 });
    const given = await optionsFor(server, 4, { queryTypes: ['web'] });
    const first = writeQueries(given);
    while (server.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const error = await rejection(writeQueries(given));
    expect(error.code).to.equal('BUSY');
    expect(error.message).to.contain(`in use by process ${process.pid}`);
    expect((await first).written).to.equal(4);
  });

  it('names the line of a journal that is broken in the middle', async () => {
    const server = await serve();
    const given = await optionsFor(server, 2, { queryTypes: ['web'] });
    await writeQueries(given);
    const file = join(given.output, 'replies.jsonl');
    writeFileSync(file, `{"passage": "1"}\n${readFileSync(file, 'utf8')}`);
    expect((await rejection(writeQueries(given))).message).to.contain('replies.jsonl:1 (field "tokens")');
  });
});

import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { passageText } from '../lib/corpus/passage.js';
import { RemoteError } from '../lib/errors.js';
import type { QueryRecord } from '../lib/queries/outcome.js';
import { estimateQueries, type WriteQueriesOptions, writeQueries } from '../lib/queries/write-queries.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';
import {
  asked,
  FAULTS,
  type LlmServer,
  type LlmServerOptions,
  passageOf,
  randomFaults,
  startLlmServer,
} from './servers/llm.js';

const cranfield = fileURLToPath(new URL('../examples/cranfield', import.meta.url));
const lines = <T = any>(file: string): T[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** Queries that people's models wrote for Cranfield, by the beginning of the prompt and the passage it ends with. */
async function writtenAnswers(): Promise<(prompt: string) => string> {
  const corpus = await loadCorpus(cranfield);
  const kinds = {
    question: 'one question',
    claim: 'one claim',
    title: 'one title',
    keywords: 'few terms',
    web: 'someone would type',
    random: 'one search query',
  };
  const answers = new Map<string, string>();
  for (const { passage, type, query } of lines(join(cranfield, 'written-queries.jsonl'))) {
    answers.set(`${type} ${passageText(corpus.get(passage)!)}`, query);
  }
  return (prompt) => {
    const [type] = Object.entries(kinds).find(([, words]) => prompt.split('\n')[0]!.includes(words))!;
    return answers.get(`${type} ${passageOf(prompt)}`) ?? `no query was written for ${passageOf(prompt).length}`;
  };
}

describe('writeQueries', function () {
  this.timeout(60_000);
  let written: (prompt: string) => string;
  let sources: string[];
  const servers: LlmServer[] = [];

  before(async () => {
    written = await writtenAnswers();
    sources = [...new Set(lines(join(cranfield, 'written-queries.jsonl')).map(({ passage }) => passage as string))];
  });

  afterEach(async () => {
    for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
  });

  const serve = async (options: LlmServerOptions = {}) => {
    const server = await startLlmServer({ answer: written, ...options });
    servers.push(server);
    return server;
  };

  /** The passages of Cranfield that have written queries, as few as are asked for. */
  const passages = async (count: number) => {
    const corpus = await loadCorpus(cranfield);
    return sources.slice(0, count).map((id) => corpus.get(id)!);
  };

  const options = async (server: LlmServer, count: number, more: Partial<WriteQueriesOptions> = {}) => ({
    ...{ corpus: await passages(count), output: join(temporaryDirectory(), 'queries'), minCharacters: 1 },
    ...{ llmModel: 'writer', llmBaseUrl: server.url, llmBackoff: 0.002 },
    ...more,
  });

  it('asks for each passage and type once and writes the queries in the order of corpus and types', async () => {
    const server = await serve();
    const given = await options(server, 10);
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
      const one = await writeQueries(await options(calm, 40, small));
      const two = await writeQueries(await options(rough, 40, { ...small, llmConcurrency: 40 }));
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
    const given = await options(server, 40, { corpus: cranfield, maxPassages: 40, queryTypes: ['web', 'title'] });
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
    const given = await options(server, 4, { queryTypes: ['web'] });
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
    const given = await options(server, 3, { queryTypes: ['random'], replyAttempts: 5 });
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
    const given = await options(server, 12, { queryTypes: ['question'], replyAttempts: 2 });
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
    const given = await options(server, 12, { queryTypes: ['question'], llmConcurrency: 1 });
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
    const given = await options(server, 5, { queryTypes: ['question', 'web'] });
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
    const result = await writeQueries(await options(server, 4, { queryTypes: ['web'], queriesPerPassage: 3 }));
    expect(result.written).to.equal(12);
    expect(new Set(server.requests.map(asked)).size).to.equal(12);
  });

  describe('stops at once', () => {
    it('where the key is wrong, without showing it', async () => {
      process.env.LISTWISE_TEST_KEY = 'sk-very-secret';
      const server = await serve({ key: 'sk-another' });
      const given = await options(server, 30, { llmKeyEnv: 'LISTWISE_TEST_KEY' });
      const error = await rejection(writeQueries(given));
      expect(error).to.be.instanceOf(RemoteError);
      expect(error.message).to.contain('answered 401').and.contain('the key is wrong or has expired');
      expect(error.message).to.contain('llmKeyEnv').and.not.contain('secret');
      expect(server.headers[0]!.authorization).to.equal('Bearer sk-very-secret');
      expect(server.requests.length).to.be.at.most(8);
      expect(readFileSync(join(given.output, 'replies.jsonl'), 'utf8')).to.equal('');
    });

    it('where the key expires in the middle, keeping what there is', async () => {
      const expired = { status: 401, error: { message: 'expired', code: 'invalid_api_key' } };
      const server = await serve({ refuse: (n) => (n >= 20 ? expired : undefined) });
      const given = await options(server, 30);
      expect((await rejection(writeQueries(given))).message).to.contain('answered 401');
      const kept = lines(join(given.output, 'replies.jsonl')).length;
      expect(kept).to.equal(server.answered.size).and.to.be.at.least(16);
      server.options.refuse = undefined;
      expect((await writeQueries(given)).written).to.equal(180);
      expect([...server.answered.values()]).to.deep.equal(Array(180).fill(1));
    });

    it('where the server does not know the model', async () => {
      const server = await serve({ model: 'other' });
      const { message } = await rejection(writeQueries(await options(server, 3)));
      expect(message).to.contain('answered 404 for model "writer"').and.contain('check llmModel and llmBaseUrl');
    });

    it('where another model answers all the time, unless that is allowed', async () => {
      const server = await serve({ fault: () => 'wrong model' });
      const given = await options(server, 2, { queryTypes: ['web'] });
      const { message } = await rejection(writeQueries(given));
      expect(message)
        .to.contain('answered as model "another-7b" though "writer" was asked')
        .and.contain('llmReplyModel');
      const { models } = await writeQueries({ ...given, llmReplyModel: 'any' });
      expect(models).to.deep.equal({ 'another-7b': 2 });
    });

    it('where the address is no such server', async () => {
      const server = await serve({ fault: () => 'not JSON' });
      const { message } = await rejection(writeQueries(await options(server, 3)));
      expect(message).to.contain('not with a chat completion').and.contain('check llmBaseUrl, which often ends in /v1');
      await server[Symbol.asyncDispose]();
      const error = await rejection(writeQueries(await options(server, 3)));
      expect(error.message).to.contain('cannot be reached (ECONNREFUSED)').and.contain('check llmBaseUrl');
      servers.pop();
    });

    it('where a server that worked is down, keeping what there is', async () => {
      const down = { status: 500, error: { message: 'out of order' } };
      const server = await serve({ refuse: (n) => (n >= 10 ? down : undefined) });
      const given = await options(server, 10, { llmRetries: 1 });
      const error = await rejection(writeQueries(given));
      expect(error.code).to.equal('REMOTE');
      expect(error.message).to.match(
        /5 requests in a row got no reply, .* out of order.* The 10 replies so far are kept/,
      );
      server.options.refuse = undefined;
      expect(await writeQueries(given)).to.deep.include({ written: 60, failed: {} });
    });

    it('on an abort, with its reason', async () => {
      const server = await serve({ delay: 40 });
      const controller = new AbortController();
      const given = await options(server, 30, { signal: controller.signal });
      const reason = new Error('enough');
      const running = rejection(
        writeQueries({
          ...given,
          onProgress: ({ stage, done }) => stage === 'queries' && done > 5 && controller.abort(reason),
        }),
      );
      expect(await running).to.equal(reason);
      expect(lines(join(given.output, 'replies.jsonl')).length).to.be.within(5, 179);
    });
  });

  it('waits as long as a server asks, with all requests', async () => {
    let until = 0;
    let early = 0;
    const refuse = (n: number) => {
      if (Date.now() < until - 20) early += 1;
      if (n !== 5) return undefined;
      until = Date.now() + 1000;
      return { status: 429, error: { message: 'slow down' }, headers: { 'retry-after': '1' } };
    };
    const server = await serve({ refuse });
    const started = Date.now();
    const result = await writeQueries(await options(server, 10, { queryTypes: ['web'] }));
    expect(result.written).to.equal(10);
    expect(Date.now() - started).to.be.at.least(1000);
    // Those that were under way already may still arrive.
    expect(early).to.be.at.most(4);
  });

  it('asks more at a time as long as the server bears it', async () => {
    const server = await serve({ delay: 15 });
    await writeQueries(await options(server, 40, { queryTypes: ['web', 'title'], llmConcurrency: 12 }));
    expect(server.atOnce).to.be.within(6, 12);
  });

  it('tells before what it will ask and cost, and counts while it does', async () => {
    const server = await serve();
    const prices = { llmInputPrice: 2, llmOutputPrice: 10 };
    const given = await options(server, 6, { ...prices, queryTypes: ['web'] });
    const estimate = await estimateQueries(given);
    expect(server.requests).to.have.length(0);
    expect(estimate).to.deep.include({ queries: 6, answered: 0, requests: 6, newTokens: 300 });
    const characters = (await passages(6)).reduce((sum, { title, text }) => sum + title.length + text.length, 0);
    expect(estimate.promptTokens).to.be.above(characters / 4);
    expect(estimate.cost).to.be.closeTo((2 * estimate.promptTokens + 10 * 300) / 1e6, 1e-9);
    const notes: { tokens?: number; cost?: number }[] = [];
    const estimates: object[] = [];
    const onProgress: WriteQueriesOptions['onProgress'] = (progress) =>
      progress.unit === 'queries' && notes.push({ ...progress });
    const { spent } = await writeQueries({ ...given, onProgress, onEstimate: (told) => estimates.push(told) });
    expect(estimates).to.deep.equal([estimate]);
    expect(spent.cost).to.be.closeTo((2 * spent.promptTokens + 10 * spent.completionTokens) / 1e6, 1e-9);
    expect(notes.at(-1)).to.deep.include({
      done: 6,
      total: 6,
      tokens: spent.promptTokens + spent.completionTokens,
      cost: spent.cost,
    });
    // The made-up server counts four characters a token, so the estimate of prompts is near.
    expect(estimate.promptTokens).to.be.within(spent.promptTokens, spent.promptTokens * 1.1);
    expect(await estimateQueries(given)).to.deep.include({ answered: 6, requests: 0, cost: 0 });
  });

  it('keeps within a budget of requests, tokens or cost over all sessions, and goes on when it is raised', async () => {
    const server = await serve({ delay: 3 });
    const given = await options(server, 10, { queryTypes: ['web', 'claim'], llmInputPrice: 1, llmOutputPrice: 1 });
    const first = await writeQueries({ ...given, llmMaxRequests: 7 });
    expect(first).to.deep.include({ stopped: 'budget', written: 7, open: 13 });
    expect(server.requests).to.have.length(7);
    expect((await writeQueries({ ...given, llmMaxRequests: 7 })).written).to.equal(7);
    expect(server.requests).to.have.length(7);
    const tokens = await writeQueries({ ...given, llmMaxTotalTokens: 8000 });
    expect(tokens.stopped).to.equal('budget');
    expect(tokens.spent.promptTokens + tokens.spent.completionTokens).to.be.within(6500, 8000);
    const cost = await writeQueries({ ...given, llmMaxCost: 0.009 });
    expect(cost.stopped).to.equal('budget');
    expect(cost.spent.cost).to.be.within(0.0078, 0.009);
    const rest = await writeQueries(given);
    expect(rest).to.deep.include({ written: 20, open: 0 }).and.not.have.property('stopped');
    expect([...server.answered.values()]).to.deep.equal(Array(20).fill(1));
  });

  it('shares the work among endpoints, and goes on with the others when one fails', async () => {
    const [good, down] = [await serve({ delay: 3 }), await serve({ delay: 3 })];
    down.options.refuse = (n) => (n >= 5 ? { status: 503, error: { message: 'overloaded' } } : undefined);
    const endpoints = [good, down].map(({ url }) => ({ baseUrl: url }));
    const given = await options(good, 20, { llmEndpoints: endpoints, llmRetries: 1, queryTypes: ['web', 'title'] });
    const result = await writeQueries({ ...given, llmBaseUrl: undefined });
    expect(result).to.deep.include({ written: 40, failed: {} });
    expect(good.answered.size).to.equal(35);
    expect(down.answered.size).to.equal(5);
  });

  it('lets a draw decide which of several models writes a query, whatever the pace', async () => {
    const [one, two] = [await serve({ model: 'one' }), await serve({ model: 'two', delay: 4 })];
    const llmEndpoints = [
      { baseUrl: one.url, model: 'one' },
      { baseUrl: two.url, model: 'two', body: { top_p: 0.9 } },
    ];
    const given = await options(one, 15, { llmEndpoints, queryTypes: ['web', 'title'] });
    const first = await writeQueries({ ...given, llmBaseUrl: undefined });
    expect(first.models).to.have.all.keys('one', 'two');
    expect(two.requests[0]).to.include({ top_p: 0.9 });
    expect(one.requests[0]).to.not.have.property('top_p');
    one.options.delay = 4;
    const second = await writeQueries({ ...given, llmBaseUrl: undefined, output: join(temporaryDirectory(), 'q') });
    expect(readFileSync(second.queries, 'utf8')).to.equal(readFileSync(first.queries, 'utf8'));
  });

  it('sends extra fields, and leaves out those that are null', async () => {
    const server = await serve();
    const llmBody = { max_tokens: null, seed: null, max_completion_tokens: 900, reasoning_effort: 'low' };
    await writeQueries(await options(server, 1, { queryTypes: ['web'], llmBody }));
    expect(server.requests[0]).to.have.all.keys(
      'model',
      'messages',
      'temperature',
      'max_completion_tokens',
      'reasoning_effort',
    );
  });

  it("shows the user's own queries as examples, as a type of their own", async () => {
    const server = await serve({ answer: undefined });
    const exampleQueries = join(temporaryDirectory(), 'own.txt');
    writeFileSync(exampleQueries, ['lift wing', 'drag cone', 'heat plate', 'jet noise', 'wing flutter'].join('\n'));
    const result = await writeQueries(await options(server, 2, { exampleQueries, language: 'Italian' }));
    const types = lines(result.queries)
      .slice(0, 7)
      .map(({ type }) => type);
    expect(types).to.deep.equal(['question', 'claim', 'title', 'keywords', 'web', 'random', 'user']);
    const prompt = server.requests
      .map(({ messages }) => messages[0].content)
      .find((text) => text.includes('Query: jet noise'))!;
    expect(prompt).to.contain('Write in Italian').and.contain('Query: wing flutter');
  });

  it('keeps to the rates of requests and of tokens', async () => {
    const server = await serve();
    const given = await options(server, 16, { queryTypes: ['web'] });
    const seconds = async (limit: Partial<WriteQueriesOptions>) => {
      const started = performance.now();
      const output = join(temporaryDirectory(), 'queries');
      expect((await writeQueries({ ...given, ...limit, output })).written).to.equal(16);
      return (performance.now() - started) / 1000;
    };
    // 1,200 a minute are two in each tenth of a second: sixteen need at least seven of these.
    expect(await seconds({ llmRequestsPerMinute: 1200 })).to.be.at.least(0.69);
    // Five seconds' worth may go at once; of six the rest takes one, but for the last request, which waits for no other.
    const { promptTokens, newTokens } = await estimateQueries(given);
    expect(await seconds({ llmTokensPerMinute: 10 * (promptTokens + newTokens) })).to.be.at.least(0.4);
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
    const given = await options(server, 0, { corpus: corpus.map((text, i) => ({ id: `p${i}`, title: '', text })) });
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
    const given = { ...(await options(server, 0, { corpus })), queryTypes: ['random'] };
    const written = async (more: object) =>
      lines((await writeQueries({ ...given, ...more })).queries).map(({ passage }) => passage);
    expect(await written({})).to.deep.equal(['p0', 'p1', 'p2']);
    expect(await written({ nearDuplicates: 0.8 })).to.deep.equal(['p0', 'p2']);
  });

  it('refuses options that cannot be, before any request', async () => {
    const server = await serve();
    const given = await options(server, 1);
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
    const given = await options(server, 4, { queryTypes: ['web'] });
    const first = writeQueries(given);
    while (server.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const error = await rejection(writeQueries(given));
    expect(error.code).to.equal('BUSY');
    expect(error.message).to.contain(`in use by process ${process.pid}`);
    expect((await first).written).to.equal(4);
  });

  it('names the line of a journal that is broken in the middle', async () => {
    const server = await serve();
    const given = await options(server, 2, { queryTypes: ['web'] });
    await writeQueries(given);
    const file = join(given.output, 'replies.jsonl');
    writeFileSync(file, `{"passage": "1"}\n${readFileSync(file, 'utf8')}`);
    expect((await rejection(writeQueries(given))).message).to.contain('replies.jsonl:1 (field "tokens")');
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { estimateQueries, type WriteQueriesOptions, writeQueries } from '../lib/queries/write-queries.js';
import { temporaryDirectory } from './helpers.js';
import { optionsFor, passages, serve, useServers } from './query-servers.js';

describe('writeQueries, by pace, budget and endpoints,', function () {
  this.timeout(60_000);
  useServers();

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
    const result = await writeQueries(await optionsFor(server, 10, { queryTypes: ['web'] }));
    expect(result.written).to.equal(10);
    expect(Date.now() - started).to.be.at.least(1000);
    // Those that were under way already may still arrive.
    expect(early).to.be.at.most(4);
  });

  it('asks more at a time as long as the server bears it', async () => {
    const server = await serve({ delay: 15 });
    await writeQueries(await optionsFor(server, 40, { queryTypes: ['web', 'title'], llmConcurrency: 12 }));
    expect(server.atOnce).to.be.within(6, 12);
  });

  it('tells before what it will ask and cost, and counts while it does', async () => {
    const server = await serve();
    const prices = { llmInputPrice: 2, llmOutputPrice: 10 };
    const given = await optionsFor(server, 6, { ...prices, queryTypes: ['web'] });
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
    const given = await optionsFor(server, 10, { queryTypes: ['web', 'claim'], llmInputPrice: 1, llmOutputPrice: 1 });
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
    const given = await optionsFor(good, 20, { llmEndpoints: endpoints, llmRetries: 1, queryTypes: ['web', 'title'] });
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
    const given = await optionsFor(one, 15, { llmEndpoints, queryTypes: ['web', 'title'] });
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
    await writeQueries(await optionsFor(server, 1, { queryTypes: ['web'], llmBody }));
    expect(server.requests[0]).to.have.all.keys(
      'model',
      'messages',
      'temperature',
      'max_completion_tokens',
      'reasoning_effort',
    );
  });

  it('keeps to the rates of requests and of tokens', async () => {
    const server = await serve();
    const given = await optionsFor(server, 16, { queryTypes: ['web'] });
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
});

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { specialize } from '../lib/specialize/specialize.js';
import type { StageEvent } from '../lib/specialize/stage-runner.js';
import { randomTexts, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { type LlmServer, passageOf, startLlmServer } from './servers/llm.js';

const lines = (file: string): any[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

describe('the stage of queries', function () {
  this.timeout(60_000);
  const texts = randomTexts(12, { longest: 8, seed: 4 }).map((text, i) => `${text} passage ${'abcdefghijkl'[i]}`);
  let corpus: string;
  let model: string;
  let server: LlmServer;
  let events: StageEvent[];

  before(() => {
    corpus = temporaryDirectory();
    model = writeTinyModel();
    const passages = texts.map((text, i) => JSON.stringify({ _id: `p${i}`, title: '', text }));
    writeFileSync(join(corpus, 'corpus.jsonl'), `${passages.join('\n')}\n`);
  });

  beforeEach(async () => {
    server = await startLlmServer({
      answer: (prompt) => `${prompt.slice(0, 60).length} ${passageOf(prompt).slice(-12)} ${prompt.length}`,
    });
  });
  afterEach(async () => server[Symbol.asyncDispose]());

  const options = (more: Partial<SpecializeOptions> = {}): SpecializeOptions => ({
    ...{ corpus, model, output: join(temporaryDirectory(), 'run'), until: 'queries', minCharacters: 3 },
    ...{ llmModel: 'writer', llmBaseUrl: server.url, llmBackoff: 0.002, queryTypes: ['web', 'claim'] },
    onStage: (event) => events.push(event),
    ...more,
  });
  const run = async (given: SpecializeOptions) => {
    events = [];
    return specialize(given);
  };
  const did = () => events.filter(({ stage }) => stage === 'queries').map(({ status }) => status);

  it('has a language model write queries for usable passages, and keeps them with model and prompt', async () => {
    const given = options({ exclude: ['p3'] });
    const estimates: object[] = [];
    const { stages, directory } = await run({ ...given, onEstimate: (estimate) => estimates.push(estimate) });
    const records = lines(join(directory, 'queries.jsonl'));
    expect(records).to.have.length(22);
    expect(records[0]).to.include({ id: 'p0:web', passage: 'p0', type: 'web', model: 'writer' });
    expect(records[0].promptHash).to.match(/^[0-9a-f]{64}$/);
    expect(records.map(({ passage }) => passage)).to.not.include('p3');
    expect(stages.queries!.counts).to.deep.include({ read: 22, kept: 22, passages: 11 });
    expect(stages.queries!.counts).to.have.property('written').that.deep.includes({ queries: 22, requests: 22 });
    expect(estimates).to.have.length(1);
    expect(server.requests).to.have.length(22);

    await run(given);
    expect(did()).to.deep.equal(['reused']);
    expect(server.requests).to.have.length(22);
  });

  it('adds them to those of a file, with ids of their own', async () => {
    const queries = join(temporaryDirectory(), 'written.jsonl');
    writeFileSync(queries, '{"passage": "p0", "type": "web", "query": "mine"}\n');
    const { directory } = await run(options({ queries, queryTypes: ['web'] }));
    const records = lines(join(directory, 'queries.jsonl'));
    expect(records).to.have.length(13);
    expect(records.slice(0, 2)).to.deep.include.members([{ id: 'p0:web', passage: 'p0', type: 'web', query: 'mine' }]);
    expect(records[1]).to.include({ id: 'p0:web:2', model: 'writer' });
  });

  it('pays for nothing twice when options change and change back', async () => {
    const given = options();
    await run(given);
    const first = readFileSync(join(given.output, 'queries.jsonl'), 'utf8');
    await run({ ...given, queriesPerPassage: 2 });
    expect(events.find(({ status }) => status === 'invalidated')).to.include({
      reason: 'queriesPerPassage changed from 1 to 2',
    });
    expect(server.requests).to.have.length(48);
    const prompts = join(temporaryDirectory(), 'web.yaml');
    writeFileSync(prompts, 'instruction: Write.\nexamples: 0\n');
    await run({ ...given, queriesPerPassage: 2, queryTypes: [prompts, 'claim'] });
    expect(server.requests).to.have.length(72);
    expect(events.find(({ status }) => status === 'invalidated')).to.include({ reason: 'the prompts changed' });
    await run(given);
    expect(server.requests).to.have.length(72);
    expect(readFileSync(join(given.output, 'queries.jsonl'), 'utf8')).to.equal(first);
    await run({ ...given, llmConcurrency: 3, llmRetries: 2, llmStream: true });
    expect(did(), 'how it is asked decides nothing').to.deep.equal(['reused']);
  });

  it('stops when the budget is used up and goes on when it is raised, or uses what there is', async () => {
    const given = options({ llmMaxRequests: 10 });
    const error = await rejection(run(given));
    expect(error.code).to.equal('BUDGET');
    expect(error.message).to.match(/10 queries are written and kept, 14 are still to be asked.*llmWhenSpent/);
    await run({ ...given, llmMaxRequests: 30 });
    expect(did()).to.deep.equal(['continued', 'started', 'done']);
    expect(server.requests).to.have.length(24);
    const some = options({ llmMaxRequests: 5, llmWhenSpent: 'use' });
    await run(some);
    expect(lines(join(some.output, 'queries.jsonl'))).to.have.length(5);
    await run({ ...some, llmMaxRequests: 7 });
    expect(lines(join(some.output, 'queries.jsonl'))).to.have.length(7);
  });

  it('asks again for what failed when told to, and for nothing else', async () => {
    const { answer } = server.options;
    server.options.answer = (prompt, body) => (passageOf(prompt).endsWith('passage a') ? '' : answer!(prompt, body));
    const given = options({ replyAttempts: 2 });
    await run(given);
    expect(lines(join(given.output, 'queries.jsonl'))).to.have.length(22);
    expect(server.requests).to.have.length(26);
    server.options.answer = answer!;
    await run(given);
    expect(did()).to.deep.equal(['reused']);
    await run({ ...given, retryFailed: true });
    expect(events.find(({ status }) => status === 'invalidated')).to.include({
      reason: 'queries that failed are asked for again',
    });
    expect(lines(join(given.output, 'queries.jsonl'))).to.have.length(24);
    expect(server.requests).to.have.length(28);
    await run({ ...given, retryFailed: true });
    expect(did()).to.deep.equal(['reused']);
    await run(given);
    expect(did()).to.deep.equal(['reused']);
  });

  it('shows no query of the test set in a prompt', async () => {
    const data = temporaryDirectory();
    mkdirSync(join(data, 'qrels'));
    writeFileSync(join(data, 'corpus.jsonl'), readFileSync(join(corpus, 'corpus.jsonl')));
    const tested = ['secret one', 'secret two'];
    writeFileSync(
      join(data, 'queries.jsonl'),
      tested.map((text, i) => JSON.stringify({ _id: `t${i}`, text })).join('\n'),
    );
    writeFileSync(join(data, 'qrels', 'test.tsv'), 'query-id\tcorpus-id\tscore\nt0\tp0\t1\nt1\tp1\t1\n');
    const exampleQueries = join(temporaryDirectory(), 'own.txt');
    writeFileSync(exampleQueries, [...tested, 'open a', 'open b', 'open c', 'open d', 'open e'].join('\n'));
    await run(options({ data, exampleQueries, queryTypes: ['user'] }));
    const prompts = server.requests.map(({ messages }) => messages[0].content as string);
    expect(prompts).to.have.length(12);
    for (const prompt of prompts) expect(prompt).to.contain('Query: open a').and.not.contain('secret');
  });

  it('refuses a run without queries, options without a model, and a key that is not there, before any work', async () => {
    const none = await rejection(
      run(options({ llmModel: undefined, llmBaseUrl: undefined, llmBackoff: undefined, queryTypes: undefined })),
    );
    expect(none.message).to.match(/a file of written queries, or humanQueries, or a language model .*for queries/);
    const idle = await rejection(run(options({ llmModel: undefined, queries: 'x.jsonl' })));
    expect(idle.message).to.contain('queryTypes is for a language model, and none is named; give llmModel');
    const keyless = await rejection(run(options({ llmKeyEnv: 'LISTWISE_NO_SUCH_KEY' })));
    expect(keyless.message).to.contain('LISTWISE_NO_SUCH_KEY but it is not set');
    expect(events).to.deep.equal([]);
  });
});

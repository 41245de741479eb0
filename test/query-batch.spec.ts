import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import {
  exportQueryBatch,
  importQueryBatch,
  type WriteQueriesOptions,
  writeQueries,
} from '../lib/queries/write-queries.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';
import { passageOf, startLlmServer } from './servers/llm.js';

const lines = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

describe('exportQueryBatch and importQueryBatch', () => {
  const corpus = ['wings lift', 'cones drag', 'plates heat', 'jets hiss'].map((text, i) => ({
    id: `p${i}`,
    title: '',
    text,
  }));
  const options = (more: Partial<WriteQueriesOptions> = {}): WriteQueriesOptions => ({
    ...{ corpus, output: join(temporaryDirectory(), 'queries'), llmModel: 'writer', queryTypes: ['web', 'random'] },
    ...{ minCharacters: 1, replyAttempts: 2, ...more },
  });
  const query = ({ messages }: any) => `about ${passageOf(messages[0].content)} ${messages[0].content.length}`;

  /** What a batch service would give for a file of requests, in another order. */
  const replies = (
    requests: any[],
    answer: (body: any, i: number) => object = (body) => completion(body, query(body)),
  ) => {
    const file = join(temporaryDirectory(), 'replies.jsonl');
    const records = requests.map(({ custom_id, body }, i) => ({
      id: `r${i}`,
      custom_id,
      error: null,
      ...answer(body, i),
    }));
    writeFileSync(
      file,
      records
        .reverse()
        .map((record) => JSON.stringify(record))
        .join('\n'),
    );
    return file;
  };
  const completion = ({ model }: any, content: string, more: object = {}) => {
    const usage = { prompt_tokens: 100, completion_tokens: 10 };
    const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }];
    return { response: { status_code: 200, request_id: 'x', body: { model, choices, usage, ...more } } };
  };

  it('gives the queries that asking one by one gives', async () => {
    await using server = await startLlmServer({ answer: (_, body) => query(body) });
    const asked = await writeQueries(options({ llmBaseUrl: server.url }));
    const given = options();
    const { files, requests } = await exportQueryBatch(given, join(temporaryDirectory(), 'batch'));
    expect(requests).to.equal(8);
    expect(files.map((file) => file.split('/').at(-1))).to.deep.equal(['requests-0001.jsonl']);
    const out = lines(files[0]!);
    expect(out[0]).to.include({ method: 'POST', url: '/v1/chat/completions' });
    expect(out.map(({ body }) => JSON.stringify(body)).sort()).to.deep.equal(
      server.requests.map((body) => JSON.stringify(body)).sort(),
    );
    for (const { custom_id } of out) expect(custom_id.length).to.be.at.most(64);
    const result = await importQueryBatch(given, [replies(out)]);
    expect(result).to.deep.include({ imported: 8, known: 0, foreign: 0, written: 8 });
    expect(result.spent).to.deep.include({ promptTokens: 800, completionTokens: 80 });
    expect(readFileSync(result.queries, 'utf8')).to.equal(readFileSync(asked.queries, 'utf8'));
  });

  it('takes a file in once, and exports again only what has no usable reply', async () => {
    const given = options();
    const directory = join(temporaryDirectory(), 'batch');
    const out = lines((await exportQueryBatch(given, directory)).files[0]!);
    const file = replies(out, (body, i) => {
      if (i === 0) return completion(body, '');
      if (i === 1) return { response: null, error: { code: 'batch_expired', message: 'too late' } };
      if (i === 2) return { response: { status_code: 400, body: { error: { message: 'filtered' } } } };
      return completion(body, query(body));
    });
    const first = await importQueryBatch(given, [file]);
    expect(first).to.deep.include({ imported: 6, written: 5, failed: { 'no reply': 2 }, open: 1 });
    expect(lines(join(given.output, 'failed.jsonl')).map(({ detail }) => detail)).to.have.members([
      '{"code":"batch_expired","message":"too late"}',
      'answered 400: {"error":{"message":"filtered"}}',
    ]);
    expect(await importQueryBatch(given, [file])).to.deep.include({ imported: 0, known: 6, written: 5 });
    const again = lines((await exportQueryBatch(given, directory)).files[0]!);
    expect(again).to.have.length(3);
    // An empty reply is asked for with another seed, one that never came with the same.
    expect(again.map(({ body }) => body.seed)).to.deep.equal([
      out[0].body.seed + 1,
      out[1].body.seed,
      out[2].body.seed,
    ]);
    const last = await importQueryBatch(given, [replies(again)]);
    expect(last).to.deep.include({ written: 8, failed: {}, open: 0 });
  });

  it('keeps within the budget, one model a file', async () => {
    const endpoints = [{ model: 'one' }, { model: 'two' }];
    const { files, requests } = await exportQueryBatch(
      options({ llmModel: undefined, llmEndpoints: endpoints }),
      temporaryDirectory(),
    );
    expect(requests).to.equal(8);
    expect(files.map((file) => new Set(lines(file).map(({ body }) => body.model)).size)).to.deep.equal([1, 1]);
    const short = await exportQueryBatch(options({ llmMaxRequests: 3 }), dirname(files[0]!));
    expect(short).to.deep.include({ requests: 3, stopped: 'budget' });
    expect(readdirSync(dirname(files[0]!)), 'no file of the earlier export').to.have.length(1);
  });

  it('says which replies are not to be used', async () => {
    const given = options();
    const out = lines((await exportQueryBatch(given, temporaryDirectory())).files[0]!);
    const foreign = await rejection(importQueryBatch({ ...given, seed: 2 }, [replies(out)]));
    expect(foreign.message).to.contain('None of the replies is to a request of this run');
    const other = await rejection(
      importQueryBatch(given, [replies(out, (body) => completion(body, 'x', { model: 'gpt' }))]),
    );
    expect(other.message).to.match(
      /replies\.jsonl:\d \(field "model"\): Expected a reply of writer but it comes from gpt/,
    );
    const empty = replies(out, (body, i) => (i === 0 ? { response: {} } : completion(body, query(body))));
    expect(await importQueryBatch(given, [empty])).to.deep.include({
      imported: 7,
      written: 7,
      failed: { 'no reply': 1 },
    });
    expect(lines(join(given.output, 'failed.jsonl'))[0].detail).to.equal(
      'answered, but without a status and a body: {}',
    );
    const broken = replies(out, () => ({ response: 'yes' }));
    expect((await rejection(importQueryBatch(given, [broken]))).message).to.match(/:1 \(field "response"\)/);
  });
});

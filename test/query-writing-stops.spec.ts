import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { RemoteError } from '../lib/errors.js';
import { writeQueries } from '../lib/queries/write-queries.js';
import { lines, optionsFor, serve, stop, useServers } from './query-servers.js';
import { rejection } from './rejection.js';

describe('writeQueries stops at once', function () {
  this.timeout(60_000);
  useServers();

  it('where the key is wrong, without showing it', async () => {
    process.env.LISTWISE_TEST_KEY = 'sk-very-secret';
    const server = await serve({ key: 'sk-another' });
    const given = await optionsFor(server, 30, { llmKeyEnv: 'LISTWISE_TEST_KEY' });
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
    const given = await optionsFor(server, 30);
    expect((await rejection(writeQueries(given))).message).to.contain('answered 401');
    const kept = lines(join(given.output, 'replies.jsonl')).length;
    expect(kept).to.equal(server.answered.size).and.to.be.at.least(16);
    server.options.refuse = undefined;
    expect((await writeQueries(given)).written).to.equal(180);
    expect([...server.answered.values()]).to.deep.equal(Array(180).fill(1));
  });

  it('where the server does not know the model', async () => {
    const server = await serve({ model: 'other' });
    const { message } = await rejection(writeQueries(await optionsFor(server, 3)));
    expect(message).to.contain('answered 404 for model "writer"').and.contain('check llmModel and llmBaseUrl');
  });

  it('where another model answers all the time, unless that is allowed', async () => {
    const server = await serve({ fault: () => 'wrong model' });
    const given = await optionsFor(server, 2, { queryTypes: ['web'] });
    const { message } = await rejection(writeQueries(given));
    expect(message).to.contain('answered as model "another-7b" though "writer" was asked').and.contain('llmReplyModel');
    const { models } = await writeQueries({ ...given, llmReplyModel: 'any' });
    expect(models).to.deep.equal({ 'another-7b': 2 });
  });

  it('where the address is no such server', async () => {
    const server = await serve({ fault: () => 'not JSON' });
    const { message } = await rejection(writeQueries(await optionsFor(server, 3)));
    expect(message).to.contain('not with a chat completion').and.contain('check llmBaseUrl, which often ends in /v1');
    await stop(server);
    const error = await rejection(writeQueries(await optionsFor(server, 3)));
    expect(error.message).to.contain('cannot be reached (ECONNREFUSED)').and.contain('check llmBaseUrl');
  });

  it('where a server that worked is down, keeping what there is', async () => {
    const down = { status: 500, error: { message: 'out of order' } };
    const server = await serve({ refuse: (n) => (n >= 10 ? down : undefined) });
    const given = await optionsFor(server, 10, { llmRetries: 1 });
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
    const given = await optionsFor(server, 30, { signal: controller.signal });
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

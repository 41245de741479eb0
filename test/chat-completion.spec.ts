import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { readCompletion } from '../lib/queries/chat-completion.js';
import { writeQueries } from '../lib/queries/write-queries.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

describe('readCompletion', () => {
  it('shows what came where that is no completion', () => {
    const said: [unknown, string][] = [
      [undefined, '(nothing)'],
      [null, '(nothing)'],
      ['', '(nothing)'],
      ['<html>\n hello', '<html> hello'],
      [{}, '{}'],
      [{ choices: [] }, '{"choices":[]}'],
      [{ choices: [{}], model: 'm' }, '{"choices":[{}],"model":"m"}'],
      [{ choices: [{ message: { content: 7 } }], model: 'm' }, '{"choices":[{"message":{"content":7}}],"model":"m"}'],
    ];
    for (const [reply, shown] of said) expect(() => readCompletion(reply), shown).to.throw(shown);
  });
});

describe('writeQueries, of a server that answers 200 and nothing to use', () => {
  for (const [body, shown] of [
    ['{}', 'not with a chat completion: {}; check'],
    ['', 'not with a chat completion: (nothing); check'],
    ['null', 'not with a chat completion: (nothing); check'],
  ] as const) {
    it(`says so where the reply is ${body || 'empty'}`, async () => {
      const server = createServer((request, response) => {
        request.resume();
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
        response.end(body);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const corpus = [{ id: 'p', title: '', text: 'Tomatoes need sun, water and support.' }];
      const llm = { llmModel: 'writer', llmBaseUrl: `http://127.0.0.1:${port}/v1`, llmRetries: 0, llmBackoff: 0.001 };
      const error = await rejection(writeQueries({ corpus, output: join(temporaryDirectory(), 'queries'), ...llm }));
      server.close();
      expect(error.message).to.contain(shown).and.not.contain('undefined');
    });
  }
});

describe('writeQueries, of a server that says the key back', () => {
  const KEY = 'sk-very-secret-0123';
  let server: Server;
  afterEach(() => {
    delete process.env.LISTWISE_TEST_KEY;
    server.closeAllConnections();
    server.close();
  });

  for (const status of [403, 200]) {
    it(`shows no part of it with status ${status}, also where the reply is cut in the middle of the key`, async () => {
      process.env.LISTWISE_TEST_KEY = KEY;
      let before = 0;
      server = createServer((request, response) => {
        request.resume();
        response.writeHead(status, { 'content-type': 'application/json' });
        const said = `${'x'.repeat(before)}${KEY} is not known`;
        response.end(JSON.stringify(status === 200 ? { said } : { error: { message: said } }));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const corpus = [{ id: 'p', title: '', text: 'Tomatoes need sun, water and support.' }];
      const llm = { llmModel: 'writer', llmBaseUrl: `http://127.0.0.1:${port}/v1`, llmRetries: 0, llmBackoff: 0.001 };
      for (before = 270; before <= 300; before += 10) {
        const options = {
          corpus,
          output: join(temporaryDirectory(), 'queries'),
          ...llm,
          llmKeyEnv: 'LISTWISE_TEST_KEY',
        };
        const error = await rejection(writeQueries(options));
        expect(error.message, `${before} characters before it`).to.match(/x{100}/);
        expect(inspect(error), `${before} characters before it`).to.not.contain(KEY.slice(0, 4));
      }
    });
  }
});

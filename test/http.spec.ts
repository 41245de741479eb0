import { expect } from 'chai';
import { RemoteError } from '../lib/errors.js';
import { concurrently } from '../lib/http/concurrent.js';
import { Endpoint, type EndpointOptions } from '../lib/http/endpoint.js';
import { keyFromEnvironment } from '../lib/http/key.js';
import { Pacer } from '../lib/http/pacer.js';
import { retryAfter } from '../lib/http/retry-after.js';
import { rejection } from './rejection.js';
import { type FaultyServer, type FaultyServerOptions, startFaultyServer } from './servers/faulty.js';

const servers: FaultyServer[] = [];
const KEY = 'sk-very-secret-0123';

async function start(options: Partial<FaultyServerOptions> = {}): Promise<FaultyServer> {
  const server = await startFaultyServer({ answer: ({ n }) => ({ n }), ...options });
  servers.push(server);
  return server;
}

const endpointOf = ({ url }: FaultyServer, options: Partial<EndpointOptions> = {}) =>
  new Endpoint({ url: `${url}/echo`, timeout: 2, backoff: 0.005, ...options });

const read = (reply: unknown): number => {
  const { n } = reply as { n?: unknown };
  if (typeof n !== 'number') throw new Error('there is no n');
  return n;
};

/** The numbers that come back for 0 to count - 1, in whatever order. */
async function ask(endpoint: Endpoint, count: number, signal?: AbortSignal): Promise<number[]> {
  const items = Array.from({ length: count }, (_, n) => n);
  const answers: number[] = [];
  for await (const answer of concurrently(items, (n) => endpoint.post({ n }, { read, signal }), 32)) {
    answers.push(answer);
  }
  return answers;
}

afterEach(async () => {
  delete process.env.LISTWISE_TEST_KEY;
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

describe('Endpoint', () => {
  it('gets every answer once from a server of which 30 % of the replies are faults of all kinds', async () => {
    const server = await start({ share: 0.3 });
    const endpoint = endpointOf(server);
    const answers = await ask(endpoint, 200);
    expect(answers.sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 200 }, (_, n) => n));
    const faults = server.requests.filter(({ fault }) => fault);
    expect(new Set(faults.map(({ fault }) => fault)).size).to.equal(7);
    expect(faults.length).to.be.above(40);
    // No request was repeated but for a fault.
    expect(server.requests.length).to.equal(200 + faults.length);
    expect(endpoint.pacer.retries).to.equal(faults.length);
  });

  it('does not repeat what the server refuses, and says what to do', async () => {
    const server = await start({ status: 401, answer: () => ({ error: { message: 'Incorrect API key provided' } }) });
    const error = (await rejection(endpointOf(server).post({ n: 1 }, { read }))) as RemoteError;
    expect(error).to.be.instanceOf(RemoteError);
    expect(error).to.include({ code: 'REMOTE', status: 401, failure: 'refused' });
    expect(error.message).to.equal(
      `${server.url}/echo answered 401; check that the key is right and has not expired: ` +
        '{"error":{"message":"Incorrect API key provided"}}',
    );
    expect(server.requests.length).to.equal(1);
    server.options.status = 429;
    server.options.answer = () => ({ error: { code: 'insufficient_quota' } });
    expect((await rejection(endpointOf(server).post({}, { read }))).message).to.contain('has no credit left');
    expect(server.requests.length).to.equal(2);
  });

  it('does not follow a redirect, which would take the key to another server', async () => {
    process.env['LISTWISE_TEST_KEY'] = KEY;
    const other = await start();
    const server = await start({ status: 307, headers: { Location: `${other.url}/echo` }, answer: () => ({}) });
    const endpoint = endpointOf(server, { keyVariable: 'LISTWISE_TEST_KEY', keyHeader: 'api-key' });
    expect((await rejection(endpoint.post({ n: 1 }, { read }))).message).to.equal(
      `${server.url}/echo answered 307; give ${other.url}/echo, which it names, if you trust it: {}`,
    );
    expect([server.requests.length, other.requests.length]).to.deep.equal([1, 0]);
    expect(server.requests[0]!.headers['api-key']).to.equal(KEY);
  });

  it('gives up after as many retries as were asked for, with the last failure', async () => {
    const server = await start({ share: 1, faults: ['broken'] });
    const error = await rejection(endpointOf(server, { retries: 3 }).post({ n: 1 }, { read }));
    expect(error.message).to.equal(`${server.url}/echo answered 500: {"error":"internal"}`);
    expect(server.requests.length).to.equal(4);
    server.options.faults = ['wrong shape'];
    expect((await rejection(endpointOf(server, { retries: 0 }).post({ n: 1 }, { read }))).message).to.equal(
      `${server.url}/echo answered, but not as expected: there is no n`,
    );
    server.options.faults = ['not JSON'];
    expect((await rejection(endpointOf(server, { retries: 0 }).post({ n: 1 }, { read }))).message).to.equal(
      `${server.url}/echo answered, but not with JSON: <html>Bad gateway</html>`,
    );
    server.options.faults = ['slow'];
    expect(
      (await rejection(endpointOf(server, { retries: 0, timeout: 0.5 }).post({ n: 1 }, { read }))).message,
    ).to.equal(`${server.url}/echo gave no answer within 0.5 s.`);
    server.options.faults = ['cut off'];
    expect((await rejection(endpointOf(server, { retries: 0 }).post({ n: 1 }, { read }))).message).to.match(
      /\/echo broke the connection off: /,
    );
  });

  it('sends the key of the environment, and shows it nowhere', async () => {
    process.env.LISTWISE_TEST_KEY = KEY;
    const server = await start();
    await endpointOf(server, { keyVariable: 'LISTWISE_TEST_KEY' }).post({ n: 1 }, { read });
    expect(server.requests[0]!.headers.authorization).to.equal(`Bearer ${KEY}`);
    await endpointOf(server, { keyVariable: 'LISTWISE_TEST_KEY', keyHeader: 'api-key' }).post({ n: 1 }, { read });
    expect(server.requests[1]!.headers).to.include({ 'api-key': KEY });

    server.options.status = 403;
    server.options.answer = () => ({ error: `no access with ${KEY}` });
    const error = await rejection(endpointOf(server, { keyVariable: 'LISTWISE_TEST_KEY' }).post({}, { read }));
    expect(error.message).to.contain('no access with ***');
    expect(JSON.stringify(error) + error.stack + String(error.cause)).to.not.contain(KEY);
  });

  it('shows no part of the key either where a reply is cut in the middle of it', async () => {
    process.env.LISTWISE_TEST_KEY = KEY;
    const server = await start({ status: 403 });
    for (let before = 250; before <= 300; before += 5) {
      server.options.answer = () => ({ error: `${'x'.repeat(before)}${KEY} is not known` });
      const { message } = await rejection(endpointOf(server, { keyVariable: 'LISTWISE_TEST_KEY' }).post({}, { read }));
      expect(message, `${before} characters before it`).to.match(/x{100}(\*|\.\.\.)/);
      expect(message, `${before} characters before it`).to.not.contain(KEY.slice(0, 3));
    }
  });

  it('sends nothing at all before the time is over that Retry-After names', async () => {
    const server = await start({ share: 1, faults: ['overloaded'], retryAfter: '1' });
    const answers = ask(endpointOf(server, { backoff: 0 }), 10);
    // Four may be under way before the first reply; whoever comes later is to wait with them.
    while (server.requests.length < 4) await new Promise((resolve) => setTimeout(resolve, 2));
    server.options.share = 0;
    expect(await answers).to.have.length(10);
    const [first, ...others] = server.requests.map(({ at }) => at);
    expect(others.length).to.equal(13);
    for (const at of others.slice(3)) expect(at - first!).to.be.at.least(995);
    expect(server.requests.filter(({ fault }) => fault)).to.have.length(4);
  });

  it('waits longer from try to try', async () => {
    const server = await start({ share: 1, faults: ['broken'] });
    await rejection(endpointOf(server, { backoff: 0.04, retries: 4 }).post({ n: 1 }, { read }));
    const times = server.requests.map(({ at }) => at);
    expect(times).to.have.length(5);
    for (let k = 0; k < 4; k++)
      expect(times[k + 1]! - times[k]!, `before try ${k + 2}`).to.be.at.least(40 * 2 ** k - 2);
  });

  it('waits up to twice as long by chance, so that what failed together does not come back together', async () => {
    const server = await start({ share: 1, faults: ['broken'] });
    const endpoint = endpointOf(server, { backoff: 0.4, retries: 1 });
    const { random } = Math;
    // Drawn when the first try has failed.
    const draws = [0.95, 0.5, 0];
    Math.random = () => draws.shift() ?? random();
    try {
      await Promise.allSettled([0, 1, 2].map((n) => endpoint.post({ n }, { read })));
    } finally {
      Math.random = random;
    }
    expect(draws).to.deep.equal([]);
    const waits = [0, 1, 2].map((n) => {
      const [first, second] = server.requests.filter(({ body }) => body.n === n);
      return second!.at - first!.at;
    });
    const [short, middle, long] = waits.sort((a, b) => a - b);
    expect(short).to.be.at.least(398);
    expect(middle).to.be.at.least(598);
    expect(long).to.be.at.least(778);
  });

  it('soon gives up an address where nothing has ever answered', async () => {
    const server = await start();
    await server.close();
    const error = await rejection(endpointOf(server).post({ n: 1 }, { read }));
    expect(error.message).to.equal(
      `${server.url}/echo cannot be reached (ECONNREFUSED); check the address, and that the server runs.`,
    );
  });

  it('stops at once when aborted, with the reason', async () => {
    const server = await start({ share: 1, faults: ['slow'], slowness: 5000 });
    const controller = new AbortController();
    const asked = ask(endpointOf(server, { timeout: 10 }), 50, controller.signal);
    setTimeout(() => controller.abort('enough'), 50);
    const started = performance.now();
    const reason = await asked.catch((error: unknown) => error);
    expect(reason).to.equal('enough');
    expect(performance.now() - started).to.be.below(1000);
  });

  it('refuses options that cannot be, and addresses with a password', () => {
    const make = (options: object) => () => new Endpoint({ url: 'http://127.0.0.1:1', ...options });
    expect(make({ url: 'localhost:80' })).to.throw('an address that begins with http:// or https:// for url');
    expect(make({ url: 'http://me:secret@host' })).to.throw('Expected an address without user and password for url');
    expect(make({ url: 'http://me:secret@host' })).to.not.throw('secret');
    expect(make({ timeout: 0 })).to.throw('for timeout but received 0');
    expect(make({ concurrency: 0.5 })).to.throw('a whole number of at least 1 for concurrency but received 0.5');
    expect(make({ requestsPerMinute: -1 })).to.throw('for requestsPerMinute but received -1');
    expect(make({ keyVariable: 'sk-123' })).to.throw('Expected the name of an environment variable for keyVariable');
    expect(make({ keyVariable: 'sk-123' })).to.not.throw('sk-123');
  });
});

describe('keyFromEnvironment', () => {
  it('names the variable that is not set', () => {
    expect(() => keyFromEnvironment('LISTWISE_TEST_KEY')).to.throw(
      'Expected a key in the environment variable LISTWISE_TEST_KEY but it is not set; export it, or name another by keyVariable.',
    );
  });
});

describe('Pacer', () => {
  const overloaded = (retryAfter?: number) => new RemoteError('x', 'busy', { failure: 'overloaded', retryAfter });

  it('never runs more at a time than allowed, and fewer while the server is overloaded', async () => {
    const server = await start({ delay: 5 });
    const endpoint = endpointOf(server, { concurrency: 6 });
    await ask(endpoint, 60);
    expect(server.peak).to.equal(6);
    expect(endpoint.pacer.allowed).to.equal(6);

    const pacer = new Pacer({ concurrency: 8, backoff: 0 });
    let failures = 3;
    await pacer.run(async () => {
      if (failures-- > 0) throw overloaded();
    });
    // From 4 at the start it was halved to 2, then to 1.
    expect(pacer.allowed).to.be.within(1, 2);
    for (let i = 0; i < 40; i++) await pacer.run(async () => {});
    expect(pacer.allowed).to.equal(8);
  });

  it('holds all requests back for as long as one was asked to wait', async () => {
    const pacer = new Pacer({ concurrency: 4, backoff: 0 });
    const starts: number[] = [];
    let refused = false;
    const began = performance.now();
    const attempt = async () => {
      if (!refused) {
        refused = true;
        throw overloaded(150);
      }
      starts.push(performance.now() - began);
    };
    await pacer.run(attempt);
    await Promise.all([pacer.run(attempt), pacer.run(attempt)]);
    expect(starts.length).to.equal(3);
    for (const start of starts) expect(start).to.be.at.least(145);
  });

  it('does not wait for a server that asks for hours', async () => {
    const error = await rejection(
      new Pacer().run(async () => {
        throw overloaded(3_600_000);
      }),
    );
    expect(error.message).to.equal('x busy');
  });

  it('spreads requests and tokens over the minute', async () => {
    const timed = async (pacer: Pacer, count: number, tokens: number) => {
      const began = performance.now();
      await Promise.all(Array.from({ length: count }, () => pacer.run(async () => {}, { tokens })));
      return performance.now() - began;
    };
    // 1,200 a minute is one each 50 ms, two in each window of 100.
    expect(await timed(new Pacer({ requestsPerMinute: 1200 }), 9, 0)).to.be.at.least(300);
    // 60,000 tokens a minute are 1 a millisecond; 5,000 may go at once.
    expect(await timed(new Pacer({ tokensPerMinute: 60_000 }), 54, 100)).to.be.at.least(250);
  });

  it('repeats nothing that is no failure of the server', async () => {
    let tries = 0;
    const error = await rejection(
      new Pacer().run(async () => {
        tries += 1;
        throw new TypeError('a bug');
      }),
    );
    expect([tries, error.message]).to.deep.equal([1, 'a bug']);
  });
});

describe('retryAfter', () => {
  it('reads seconds, dates and milliseconds, and nothing else', () => {
    const of = (headers: Record<string, string>) => retryAfter(new Headers(headers), Date.UTC(2026, 0, 1));
    expect(of({ 'Retry-After': '7' })).to.equal(7000);
    expect(of({ 'Retry-After': 'Thu, 01 Jan 2026 00:00:30 GMT' })).to.equal(30_000);
    expect(of({ 'Retry-After': 'Wed, 31 Dec 2025 00:00:30 GMT' })).to.equal(0);
    expect(of({ 'retry-after-ms': '250', 'Retry-After': '1' })).to.equal(250);
    expect(of({ 'Retry-After': 'soon' })).to.equal(undefined);
    expect(of({})).to.equal(undefined);
  });
});

describe('concurrently', () => {
  it('gives what is under way before it throws, and begins nothing after a failure', async () => {
    const begun: number[] = [];
    const work = async (n: number) => {
      begun.push(n);
      await new Promise((resolve) => setTimeout(resolve, n === 1 ? 1 : 30));
      if (n === 1) throw new Error('one');
      return n;
    };
    const given: number[] = [];
    const all = async () => {
      for await (const n of concurrently([0, 1, 2, 3, 4, 5, 6], work, 3)) given.push(n);
    };
    expect((await rejection(all())).message).to.equal('one');
    expect(begun).to.include.members([0, 1, 2]);
    expect(begun.length).to.be.below(6);
    expect(given.sort()).to.deep.equal(begun.filter((n) => n !== 1));
  });
});

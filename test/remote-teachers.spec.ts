import { expect } from 'chai';
import { settleTeacher } from '../lib/teachers/choice.js';
import { JudgeTeacher } from '../lib/teachers/judge.js';
import { identityOf, openTeacher, type StandaloneChoice } from '../lib/teachers/open.js';
import type { RerankKind } from '../lib/teachers/rerank.js';
import type { Teacher, TeacherRequest, TeacherScores, TeacherWork } from '../lib/teachers/teacher.js';
import { rejection } from './rejection.js';
import { type FaultyServer, type FaultyServerOptions, startFaultyServer } from './servers/faulty.js';
import { requestsOf, rerankReply, scoreOf } from './servers/rerankers.js';

const servers: FaultyServer[] = [];

async function start(options: Partial<FaultyServerOptions> = {}): Promise<FaultyServer> {
  const server = await startFaultyServer({ answer: rerankReply, ...options });
  servers.push(server);
  return server;
}

afterEach(async () => {
  delete process.env.LISTWISE_TEST_KEY;
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

const open = (choice: object | string) => openTeacher(settleTeacher(choice) as StandaloneChoice);

async function collect(teacher: Teacher, requests: TeacherRequest[], work: TeacherWork = {}): Promise<TeacherScores[]> {
  const all: TeacherScores[] = [];
  for await (const scores of teacher.score(requests, work)) all.push(scores);
  return all;
}

/** What a server of any of the protocols answers, LLMs included: a grade from 0 to 9. */
function answerAny(body: any, path: string): object {
  if (!body.messages) return rerankReply(body, path);
  const [query, text] = body.messages[0].content.split('|');
  return { choices: [{ message: { role: 'assistant', content: String(gradeOf(query, text)) } }] };
}
const gradeOf = (query: string, text: string) => Math.floor(10 * scoreOf(query, text));

/** The pairs that a request is about. */
function pairsOf(body: any): string[] {
  if (body.messages) return [body.messages[0].content];
  const texts: string[] = body.texts ?? body.documents ?? body.text_2;
  return texts.map((text) => `${body.query ?? body.text_1}|${text}`);
}

describe('a teacher of any protocol', () => {
  const requests = requestsOf(8, 12);
  const kinds: Record<RerankKind | 'llm', object> = {
    tei: {},
    ...{ 'vllm-score': { model: 'm' }, 'vllm-rerank': { model: 'm' }, rerank: { model: 'm' } },
    ...{ cohere: { model: 'm' }, jina: { model: 'm' } },
    llm: { model: 'm', topGrade: 9, prompt: '{query}|{passage}' },
  };

  /** Has a server of which 30 % of the replies are faults score all requests. */
  async function scoreByFaultyServer(kind: string, more: object): Promise<FaultyServer> {
    const server = await start({ share: 0.3, answer: answerAny });
    const size = kind === 'llm' ? {} : { batchSize: 2 };
    const pace = { timeout: 3, concurrency: 4, backoff: 0.005, keyVariable: 'LISTWISE_TEST_KEY' };
    const teacher = await open({ kind, url: server.url, ...size, ...pace, ...more });
    const scored = new Map<string, number>();
    for (const { query, passages } of await collect(teacher, requests)) {
      for (const { id, score } of passages) {
        expect(scored.has(`${query} ${id}`), `${kind}: ${query} ${id} twice`).to.equal(false);
        scored.set(`${query} ${id}`, score);
      }
    }
    expect(scored.size, kind).to.equal(96);
    const right = kind === 'llm' ? gradeOf : scoreOf;
    for (const { query, passages } of requests) {
      for (const { id, text } of passages)
        expect(scored.get(`${query.id} ${id}`), kind).to.equal(right(query.text, text));
    }
    expect(teacher.note, kind).to.match(/^\d+ retries, \d+ at a time$/);
    return server;
  }

  it('gives every pair one score, and asks nothing twice without need, whatever 30 % of the replies are', async () => {
    process.env.LISTWISE_TEST_KEY = 'key';
    // All at once, for each waits for the replies that never come.
    await Promise.all(
      Object.entries(kinds).map(async ([kind, more]) => {
        const { requests: asked } = await scoreByFaultyServer(kind, more);
        const faults = asked.flatMap(({ fault }) => fault ?? []);
        expect(new Set(faults).size, `${kind}: kinds of faults`).to.equal(7);
        const good = asked.filter(({ fault }) => !fault);
        expect(good.length, kind).to.equal(kind === 'llm' ? 96 : 48);
        const pairs = good.flatMap(({ body }) => pairsOf(body));
        expect(pairs.length, kind).to.equal(96);
        expect(new Set(pairs).size, kind).to.equal(96);
      }),
    );
  });
});

describe('the services that need no address', () => {
  const { fetch } = globalThis;
  const variables = ['COHERE_API_KEY', 'JINA_API_KEY', 'OPENAI_API_KEY'];
  const before = variables.map((name) => process.env[name]);
  let sent: { url: string; authorization: string | null }[];

  beforeEach(() => {
    sent = [];
    globalThis.fetch = async (url, init) => {
      const { href, pathname } = new URL(String(url));
      sent.push({ url: href, authorization: new Headers(init?.headers).get('authorization') });
      return Response.json(answerAny(JSON.parse(String(init?.body)), pathname));
    };
    for (const name of variables) process.env[name] = `key of ${name}`;
  });
  afterEach(() => {
    globalThis.fetch = fetch;
    for (const [i, name] of variables.entries()) {
      if (before[i] === undefined) delete process.env[name];
      else process.env[name] = before[i];
    }
  });

  for (const [teacher, url, variable] of [
    ['cohere:rerank-v3.5', 'https://api.cohere.com/v2/rerank', 'COHERE_API_KEY'],
    ['jina:jina-reranker-v2', 'https://api.jina.ai/v1/rerank', 'JINA_API_KEY'],
    ['llm:https://api.openai.com/v1#gpt', 'https://api.openai.com/v1/chat/completions', 'OPENAI_API_KEY'],
  ] as const) {
    it(`asks ${url} with the key of ${variable}, and names it where it is not set`, async () => {
      await collect(await open(teacher), requestsOf(1, 1));
      expect(sent).to.deep.equal([{ url, authorization: `Bearer key of ${variable}` }]);
      delete process.env[variable];
      expect((await rejection(open(teacher))).message).to.equal(
        `Expected a key in the environment variable ${variable} but it is not set; export it, or name another by keyVariable.`,
      );
    });
  }

  it("sends OpenAI's key to nobody else", async () => {
    for (const teacher of ['llm:https://api.openai.com.example.org/v1#gpt', 'rerank:https://example.org#m'])
      await collect(await open(teacher), requestsOf(1, 1));
    expect(sent.map(({ authorization }) => authorization)).to.deep.equal([null, null]);
  });
});

describe('RerankTeacher', () => {
  const vllm = { truncate_prompt_tokens: 512, use_activation: false };
  const wanted: Record<RerankKind, { path: string; body: object }> = {
    tei: {
      path: '/rerank',
      body: { query: 'query 0', texts: ['text 0 0', 'text 0 1'], raw_scores: true, truncate: true },
    },
    'vllm-score': {
      path: '/score',
      body: { model: 'm', text_1: 'query 0', text_2: ['text 0 0', 'text 0 1'], ...vllm },
    },
    'vllm-rerank': {
      path: '/rerank',
      body: {
        model: 'm',
        query: 'query 0',
        documents: ['text 0 0', 'text 0 1'],
        top_n: 2,
        ...vllm,
      },
    },
    cohere: { path: '/rerank', body: { model: 'm', query: 'query 0', documents: ['text 0 0', 'text 0 1'], top_n: 2 } },
    jina: {
      path: '/rerank',
      body: { model: 'm', query: 'query 0', documents: ['text 0 0', 'text 0 1'], top_n: 2, return_documents: false },
    },
    rerank: { path: '/rerank', body: { model: 'm', query: 'query 0', documents: ['text 0 0', 'text 0 1'], top_n: 2 } },
  };

  for (const [kind, { path, body }] of Object.entries(wanted)) {
    it(`speaks ${kind}, and puts each score to its passage`, async () => {
      process.env.LISTWISE_TEST_KEY = 'key';
      const server = await start();
      const more = kind === 'tei' ? {} : { model: 'm' };
      const teacher = await open({ kind, url: `${server.url}/v1`, keyVariable: 'LISTWISE_TEST_KEY', ...more });
      const [scores] = await collect(teacher, requestsOf(1, 2));
      expect(server.requests[0]).to.deep.include({ path: `/v1${path}`, body });
      expect(scores!.query).to.equal('q0');
      expect(scores!.passages).to.deep.equal([
        { id: 'p0', score: scoreOf('query 0', 'text 0 0') },
        { id: 'p1', score: scoreOf('query 0', 'text 0 1') },
      ]);
      expect(scores!.passages[0]!.score).to.not.equal(scores!.passages[1]!.score);
    });
  }

  it('asks in batches, some at a time', async () => {
    const server = await start();
    const teacher = await open({ kind: 'tei', url: `${server.url}/rerank`, batchSize: 8 });
    const all = await collect(teacher, requestsOf(10, 20));
    expect(all.map(({ passages }) => passages.length).sort((a, b) => a - b)).to.deep.equal([
      ...Array(10).fill(4),
      ...Array(20).fill(8),
    ]);
    expect(server.requests.length).to.equal(30);
    expect(server.peak).to.be.within(2, 16);
    expect(teacher.note).to.equal(undefined);
  });

  it('says what is wrong with a reply that has not one score a passage', async () => {
    const server = await start();
    const teacher = await open({ kind: 'tei', url: server.url, retries: 0 });
    const failure = async (answer: object) => {
      server.options.answer = () => answer;
      return (await rejection(collect(teacher, requestsOf(1, 2)))).message.replace(server.url, '');
    };
    const prefix = '/rerank answered, but not as expected: ';
    expect(await failure([{ index: 0, score: 1 }])).to.equal(
      `${prefix}2 passages were sent but 1 scores for 1 of them came back`,
    );
    expect(await failure([{ index: 2, score: 1 }])).to.equal(`${prefix}a result has no "index" from 0 to 1`);
    expect(await failure([{ index: 0, score: null }])).to.equal(`${prefix}a result has no number "score"`);
    expect(await failure({})).to.equal(`${prefix}there is no list of scores`);
  });

  it('keeps to its budget over all runs, gives what it has paid for, and says how to go on', async () => {
    const server = await start();
    const teacher = await open({ kind: 'tei', url: server.url, batchSize: 5, maxPairs: 40 });
    const all: TeacherScores[] = [];
    const run = async () => {
      for await (const scores of teacher.score(requestsOf(10, 10), { spent: { requests: 3, pairs: 15, tokens: 0 } })) {
        all.push(scores);
      }
    };
    const error = await rejection(run());
    expect(error).to.include({ code: 'BUDGET' });
    expect(error.message).to.equal(
      "The teacher's budget is used up: 40 pairs of maxPairs 40. What is scored is kept; raise maxPairs and start again to go on.",
    );
    expect(all.reduce((sum, { passages }) => sum + passages.length, 0)).to.equal(25);
    expect(server.requests.length).to.equal(5);
  });

  it('asks no more often than maxRequests, not counting repeats', async () => {
    const server = await start({ share: 1, faults: ['broken'] });
    const teacher = await open({ kind: 'tei', url: server.url, batchSize: 5, maxRequests: 8, backoff: 0.005 });
    const work = collect(teacher, requestsOf(10, 10), { spent: { requests: 3, pairs: 0, tokens: 0 } });
    while (server.requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
    server.options.share = 0;
    expect((await rejection(work)).message).to.equal(
      "The teacher's budget is used up: 8 requests of maxRequests 8. What is scored is kept; raise maxRequests and start again to go on.",
    );
    expect(server.requests.filter(({ fault }) => !fault).length).to.equal(5);
  });

  it('keeps to the rates of requests and tokens', async () => {
    const server = await start({ answer: answerAny });
    // The first request of a process takes a while.
    await collect(await open({ kind: 'tei', url: server.url }), requestsOf(1, 1));
    const time = async (choice: object, requests: TeacherRequest[]) => {
      const began = performance.now();
      await collect(await open({ url: server.url, ...choice }), requests);
      return performance.now() - began;
    };
    // 300 a minute are one each 200 ms.
    const byRequests = time({ kind: 'tei', requestsPerMinute: 300 }, requestsOf(6, 1));
    // 60,000 tokens a minute are 1 a millisecond, of which 5,000 may go at once. 4,000 characters are about 1,000 tokens,
    // and the seventh request is the first to wait.
    const long = Array.from({ length: 7 }, (_, i) => ({
      query: { id: `q${i}`, text: 'q'.repeat(2000) },
      passages: [{ id: 'p', text: 't'.repeat(2000) }],
    }));
    const byTokens = time({ kind: 'tei', tokensPerMinute: 60_000 }, long);
    const ofLlm = time({ kind: 'llm', model: 'm', tokensPerMinute: 60_000 }, long);
    for (const taken of await Promise.all([byRequests, byTokens, ofLlm])) expect(taken).to.be.at.least(950);
    expect(server.requests.length).to.equal(1 + 6 + 7 + 7);
  });

  it('counts tokens, and stops when they are used up', async () => {
    const server = await start();
    const teacher = await open({
      ...{ kind: 'jina', model: 'm', url: server.url, keyVariable: 'LISTWISE_TEST_KEY', maxTokens: 50, concurrency: 1 },
    } as object).catch((error: Error) => error);
    expect((teacher as Error).message).to.contain('Expected a key in the environment variable LISTWISE_TEST_KEY');
    process.env.LISTWISE_TEST_KEY = 'key';
    const now = await open({
      kind: 'jina',
      model: 'm',
      url: server.url,
      keyVariable: 'LISTWISE_TEST_KEY',
      maxTokens: 50,
    });
    const error = await rejection(collect(now, requestsOf(100, 2)));
    expect(error.message).to.match(/used up: \d+ tokens of maxTokens 50\./);
    expect(server.requests.length).to.be.below(60);
  });
});

describe('JudgeTeacher', () => {
  const chat = (content: string | null, logprobs?: object) => ({
    choices: [{ message: { role: 'assistant', content }, ...(logprobs && { logprobs: { content: logprobs } }) }],
    usage: { total_tokens: 100 },
  });
  const alternatives = (grades: Record<string, number>) =>
    Object.entries(grades).map(([token, share]) => ({ token, logprob: Math.log(share) }));
  const judge = (server: FaultyServer, more = {}) =>
    new JudgeTeacher({ kind: 'llm', url: `${server.url}/v1`, model: 'judge', ...more });
  const grade = async (server: FaultyServer, answer: object, more = {}) => {
    server.options.answer = () => answer;
    return (await collect(judge(server, more), requestsOf(1, 1)))[0]!;
  };

  it('asks one question a pair, with the texts as they are', async () => {
    const server = await start({ answer: () => chat('2') });
    const requests = [
      { query: { id: 'q', text: 'what is {passage}?' }, passages: [{ id: 'a', text: 'costs $& and {query}' }] },
    ];
    expect(await collect(judge(server), requests)).to.deep.equal([
      { query: 'q', passages: [{ id: 'a', score: 2 }], tokens: 100 },
    ]);
    const { path, body } = server.requests[0]!;
    expect(path).to.equal('/v1/chat/completions');
    expect(body).to.include({ model: 'judge', temperature: 0, max_tokens: 16, logprobs: true, top_logprobs: 20 });
    const [{ content }] = body.messages;
    expect(content).to.contain('Query: what is {passage}?\n\nPassage: costs $& and {query}\n\n');
    expect(content).to.contain('from 0 to 3');
  });

  it('takes the expected grade where there are log-probabilities', async () => {
    const server = await start();
    const tokens = [
      { token: 'Grade', top_logprobs: alternatives({ Grade: 1 }) },
      { token: ' 2', top_logprobs: alternatives({ ' 2': 0.5, '3': 0.3, ' 0': 0.1, '7': 0.05, x: 0.05 }) },
    ];
    const { passages } = await grade(server, chat('Grade 2', tokens));
    expect(passages[0]!.score).to.be.closeTo((2 * 0.5 + 3 * 0.3) / 0.9, 1e-12);
  });

  it('takes the number of the answer where there are none, after what a model thinks aloud', async () => {
    const server = await start();
    expect((await grade(server, chat('Grade: 3.'))).passages[0]!.score).to.equal(3);
    expect((await grade(server, chat('<think>10 or 1?</think>\n2'))).passages[0]!.score).to.equal(2);
    expect((await grade(server, chat('8'), { topGrade: 9 })).passages[0]!.score).to.equal(8);
  });

  it('gives no score to a pair that the model does not grade, and does not ask again', async () => {
    const server = await start();
    for (const content of ['I cannot tell.', '17', '1.5', null]) {
      expect(await grade(server, chat(content))).to.deep.equal({
        ...{ query: 'q0', passages: [], unscored: ['p0'], tokens: 100 },
      });
    }
    expect(server.requests.length).to.equal(4);
  });

  it('sends further fields, and leaves out those set to null', async () => {
    const server = await start({ answer: () => chat('1') });
    const body = { max_tokens: null, max_completion_tokens: 8, reasoning_effort: 'low' };
    await collect(judge(server, { body, logprobs: false, prompt: '{query} {passage}' }), requestsOf(1, 1));
    expect(server.requests[0]!.body).to.deep.equal({
      ...{ model: 'judge', temperature: 0, max_completion_tokens: 8, reasoning_effort: 'low' },
      messages: [{ role: 'user', content: 'query 0 text 0 0' }],
    });
  });
});

describe('identityOf', () => {
  const of = (choice: object | string) => identityOf(settleTeacher(choice) as never);

  it('has what is asked of vLLM, whose scores were others before', async () => {
    expect(await of({ kind: 'vllm-score', url: 'http://h:8000', model: 'm', maxLength: 256 })).to.deep.equal({
      ...{ kind: 'vllm-score', model: 'm', maxLength: 256, use_activation: false },
    });
    expect(await of('vllm-rerank:http://h:8000#m')).to.deep.equal({
      ...{ kind: 'vllm-rerank', model: 'm', maxLength: 512, use_activation: false },
    });
    expect(await of('tei:http://h:8080')).to.deep.equal({ kind: 'tei', address: 'http://h:8080/rerank' });
    expect(await of('cohere:m')).to.deep.equal({ kind: 'cohere', model: 'm' });
  });
});

describe('settleTeacher', () => {
  it('understands names', () => {
    const cases: [string, object][] = [
      ['fused', { kind: 'fused' }],
      ['scores.jsonl', { kind: 'file', scores: 'scores.jsonl' }],
      ['file:scores', { kind: 'file', scores: 'scores' }],
      ['tei:http://localhost:8080', { kind: 'tei', url: 'http://localhost:8080' }],
      ['vllm-score:http://h:8000#BAAI/bge', { kind: 'vllm-score', url: 'http://h:8000', model: 'BAAI/bge' }],
      ['cohere:rerank-v3.5', { kind: 'cohere', model: 'rerank-v3.5' }],
      ['llm:https://h/v1#Qwen/Qwen3-8B', { kind: 'llm', url: 'https://h/v1', model: 'Qwen/Qwen3-8B' }],
    ];
    for (const [name, settled] of cases) expect(settleTeacher(name), name).to.deep.equal(settled);
    expect(settleTeacher(['fused', { teacher: { scores: 'a' }, weight: 2 }])).to.deep.equal({
      kind: 'ensemble',
      members: [
        { teacher: { kind: 'fused' }, weight: 1 },
        { teacher: { kind: 'file', scores: 'a' }, weight: 2 },
      ],
    });
  });

  it('says what is wrong', () => {
    const refused = (choice: unknown, message: string) => expect(() => settleTeacher(choice)).to.throw(message);
    refused('gpt', "Expected 'fused', a file of scores, cross-encoder:MODEL, or kind:address#model with one of tei");
    refused('tei:8080', 'Expected an address after "tei:", as in tei:http://localhost:8000 for teacher but received');
    refused('vllm-score:http://h', "Expected the model's name for teacher.model but received undefined; name it as in");
    refused({ kind: 'tei' }, "Expected the server's address for teacher.url but received undefined.");
    refused(
      { kind: 'tei', url: 'http://h', batchsize: 3 },
      'teacher has no option "batchsize"; did you mean "batchSize"?',
    );
    refused({ kind: 'tei', url: 'http://h', batchSize: 0 }, 'a whole number above 0 for teacher.batchSize');
    refused(
      { kind: 'tei', url: 'http://h', maxPairs: 0 },
      'a whole number above 0, or none for no limit for teacher.maxPairs',
    );
    refused({ kind: 'llm', url: 'http://h', model: 'm', prompt: 'x' }, 'a text with {query} and {passage} in it');
    refused({ kind: 'llm', url: 'http://h', model: 'm', topGrade: 10 }, 'from 1 to 9 for teacher.topGrade');
    refused({ kind: 'tei', url: 'localhost' }, 'http:// or https:// for teacher.url but received "localhost"');
    refused(
      { kind: 'tei', url: 'http://h', maxLength: 256 },
      'Expected nothing with kind tei, whose server cuts pairs by its own settings, for teacher.maxLength but received 256.',
    );
    for (const kind of ['cohere', 'jina', 'rerank'])
      refused(
        { kind, url: 'http://h', model: 'm', maxLength: 256 },
        `Expected nothing with kind ${kind}, whose server`,
      );
    refused(
      { kind: 'vllm-score', url: 'http://h', model: 'm', maxLength: 0 },
      'a whole number above 0 for teacher.maxLength',
    );
    refused({ kind: 'splade' }, 'for teacher.kind but received "splade"');
    refused([], 'Expected one or more teachers for teacher but received an array of 0.');
    refused([{ teacher: 'fused', weight: 0 }], 'Expected a number above 0 for teacher[0].weight but received 0.');
    refused(7, 'for teacher but received 7');
  });
});

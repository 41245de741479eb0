import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Random } from '../../lib/random.js';

/** How a request goes wrong. */
export type Fault =
  | 'rate limit'
  | 'server error'
  | 'silence'
  | 'cut off'
  | 'cut off JSON'
  | 'not JSON'
  | 'empty choices'
  | 'no content'
  | 'wrong model';

export const FAULTS: readonly Fault[] = [
  ...(['rate limit', 'server error', 'silence', 'cut off', 'cut off JSON'] as const),
  ...(['not JSON', 'empty choices', 'no content', 'wrong model'] as const),
];

export interface LlmServerOptions {
  model?: string;
  /** The reply to a prompt; its n-th answer counts from 0, answers to other seeds included. */
  answer?: (prompt: string, body: Record<string, any>) => string;
  /** What goes wrong with the n-th request, from 0. */
  fault?: (n: number, body: Record<string, any>) => Fault | undefined;
  /** The status and error of every request instead of an answer. */
  refuse?: (
    n: number,
    body: Record<string, any>,
  ) => { status: number; error: object; headers?: Record<string, string> } | undefined;
  /** Only this key is let in. */
  key?: string;
  /** What `finish_reason` says. */
  finish?: (prompt: string) => string;
  /** Milliseconds before each answer. */
  delay?: number;
  /** Whether replies count tokens. */
  usage?: boolean;
  retryAfterMs?: number;
}

/** A server on loopback that speaks OpenAI's chat completions, and misbehaves on purpose. */
export interface LlmServer extends AsyncDisposable {
  /** Ends in /v1. */
  url: string;
  options: LlmServerOptions;
  /** Bodies of all requests, in the order of arrival. */
  requests: Record<string, any>[];
  /** Headers of all requests. */
  headers: IncomingMessage['headers'][];
  /** How often each prompt with its seed was answered well. */
  answered: Map<string, number>;
  /** Most requests that were under way at the same time. */
  atOnce: number;
}

/** The key of `answered`. */
export const asked = (body: Record<string, any>) => `${body.seed} ${body.messages[0].content}`;

export async function startLlmServer(options: LlmServerOptions = {}): Promise<LlmServer> {
  let underWay = 0;
  const server: Server = createServer(async (request, response) => {
    underWay += 1;
    state.atOnce = Math.max(state.atOnce, underWay);
    response.once('close', () => {
      underWay -= 1;
    });
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    if (request.url === '/v1/chat/completions' && request.method === 'POST') {
      state.headers.push(request.headers);
      await answer(state, JSON.parse(Buffer.concat(chunks).toString()), response);
    } else json(response, 404, { error: { message: `no such address: ${request.method} ${request.url}` } });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const state: LlmServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    ...{ options, requests: [], headers: [], answered: new Map(), atOnce: 0 },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return state;
}

async function answer(state: LlmServer, body: Record<string, any>, response: ServerResponse): Promise<void> {
  const { options } = state;
  const { model = 'writer', delay = 0, usage = true, finish = () => 'stop', retryAfterMs = 5 } = options;
  const n = state.requests.push(body) - 1;
  if (options.key !== undefined && state.headers[n]!.authorization !== `Bearer ${options.key}`) {
    const message = `Incorrect API key provided: ${state.headers[n]!.authorization}`;
    return json(response, 401, { error: { message, code: 'invalid_api_key' } });
  }
  const refusal = options.refuse?.(n, body);
  if (refusal) return json(response, refusal.status, { error: refusal.error }, refusal.headers);
  if (body.model !== model) {
    const message = `The model \`${body.model}\` does not exist or you do not have access to it.`;
    return json(response, 404, { error: { message, code: 'model_not_found' } });
  }
  const fault = options.fault?.(n, body);
  if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
  if (fault === 'rate limit') {
    return json(response, 429, { error: { message: 'slow down' } }, { 'retry-after-ms': String(retryAfterMs) });
  }
  if (fault === 'server error') return json(response, 500, { error: { message: 'something broke' } });
  if (fault === 'silence') return;
  if (fault === 'not JSON') return send(response, 200, '<html>Bad gateway</html>', { 'content-type': 'text/html' });
  const prompt: string = body.messages[0].content;
  const text = options.answer?.(prompt, body) ?? defaultAnswer(prompt);
  const answering = fault === 'wrong model' ? 'another-7b' : model;
  const counted = { prompt_tokens: Math.ceil(prompt.length / 4), completion_tokens: Math.ceil(text.length / 4) };
  const base = { id: 'chatcmpl-1', created: 1, model: answering };
  if (body.stream) {
    const parts = { base, text, finish: finish(prompt), usage: usage ? counted : undefined };
    if (!fault) count(state, body);
    return stream(response, parts, fault);
  }
  const message = { role: 'assistant', content: fault === 'no content' ? undefined : text };
  const choices =
    fault === 'empty choices'
      ? []
      : [{ index: 0, message: fault === 'no content' ? undefined : message, finish_reason: finish(prompt) }];
  const whole = JSON.stringify({ ...base, object: 'chat.completion', choices, ...(usage && { usage: counted }) });
  if (fault === 'cut off') {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(whole) });
    response.write(whole.slice(0, whole.length / 2), () => response.destroy());
    return;
  }
  if (fault === 'cut off JSON') return send(response, 200, whole.slice(0, whole.length / 2));
  if (!fault) count(state, body);
  send(response, 200, whole);
}

function count({ answered }: LlmServer, body: Record<string, any>): void {
  answered.set(asked(body), (answered.get(asked(body)) ?? 0) + 1);
}

interface Streamed {
  base: object;
  text: string;
  finish: string;
  usage?: object;
}

function stream(response: ServerResponse, { base, text, finish, usage }: Streamed, fault?: Fault): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const event = (chunk: object) =>
    response.write(`data: ${JSON.stringify({ ...base, object: 'chat.completion.chunk', ...chunk })}\n\n`);
  const words = text.split(/(?<= )/);
  for (const [i, word] of words.entries()) {
    if (fault === 'cut off' && i >= words.length / 2) return void response.destroy();
    if (fault === 'cut off JSON' && i >= words.length / 2) return void response.end('data: {"choices": [{"del');
    event({ choices: fault === 'empty choices' ? [] : [{ index: 0, delta: { content: word } }] });
  }
  if (fault === 'empty choices') return void response.end('data: [DONE]\n\n');
  event({ choices: [{ index: 0, delta: {}, finish_reason: finish }] });
  if (usage) event({ choices: [], usage });
  response.end('data: [DONE]\n\n');
}

function json(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  send(response, status, JSON.stringify(body), headers);
}

function send(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body);
}

/** The passage that a prompt is about: the last one in it. */
export const passageOf = (prompt: string) => /Passage: (?!.*\nPassage: )([^\n]*)\nQuery:$/.exec(prompt)![1]!;

/** A made-up query of words of the passage, out of their order, that a prompt decides. */
function defaultAnswer(prompt: string): string {
  const random = Random.for(1, prompt);
  const words = [
    ...new Set(
      passageOf(prompt)
        .toLowerCase()
        .match(/[a-z]{3,}/g) ?? ['nothing'],
    ),
  ];
  return random.shuffle(words).slice(0, 9).join(' ');
}

/** Faults that come to a share of all requests, by a seed. */
export function randomFaults(share: number, kinds: readonly Fault[], seed = 1): (n: number) => Fault | undefined {
  const random = Random.for(seed, 'faults');
  const drawn: (Fault | undefined)[] = [];
  return (n) => {
    while (drawn.length <= n) drawn.push(random.float() < share ? kinds[random.integer(kinds.length)] : undefined);
    return drawn[n];
  };
}

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Random } from '../../lib/random.js';

/** What a server does instead of answering. */
export type Fault = 'overloaded' | 'asks to wait' | 'broken' | 'cut off' | 'slow' | 'not JSON' | 'wrong shape';

const QUICK: readonly Fault[] = ['overloaded', 'asks to wait', 'broken', 'cut off', 'not JSON', 'wrong shape'];

/** All of them, the one that takes its time less often than the others. */
export const FAULTS: readonly Fault[] = [...QUICK, 'slow', ...QUICK];

export interface FaultyServerOptions {
  /** The reply to a request that goes well. */
  answer: (body: any, path: string) => object;
  /** Share of requests that get a fault, drawn with a seed. Default 0. */
  share?: number;
  /** Which, in turn. Default all. */
  faults?: readonly Fault[];
  /** Milliseconds that a good answer takes. Default 0. */
  delay?: number;
  /** Milliseconds that a slow reply takes. Default 10,000. */
  slowness?: number;
  /** Milliseconds to wait that an overloaded server asks for. Default 20. */
  wait?: number;
  /** What an overloaded server says in `Retry-After`. Default nothing. */
  retryAfter?: string;
  /** Status of every reply to come; 200 by default. */
  status?: number;
  /** Headers of every good reply. */
  headers?: Record<string, string>;
}

export interface FaultyServer {
  url: string;
  options: FaultyServerOptions;
  /** Every request in order: body, and the fault it met, if any. */
  requests: { path: string; body: any; headers: IncomingMessage['headers']; fault?: Fault; at: number }[];
  /** Most requests under way at a time. */
  peak: number;
  close(): Promise<void>;
}

/** A JSON server on loopback that misbehaves on purpose. */
export async function startFaultyServer(options: FaultyServerOptions): Promise<FaultyServer> {
  const random = Random.for(3, 'faults');
  let faults = 0;
  let slow = 0;
  let active = 0;
  const server = createServer(async (request, response) => {
    active += 1;
    state.peak = Math.max(state.peak, active);
    response.once('close', () => {
      active -= 1;
    });
    let text = '';
    for await (const chunk of request) text += chunk;
    const { share = 0, faults: kinds = FAULTS } = options;
    let fault = random.float() < share ? kinds[faults++ % kinds.length] : undefined;
    // Each costs the client's time-out, which must be long enough for a busy machine.
    if (fault === 'slow' && kinds.length > 1 && slow++ >= 2) fault = 'broken';
    const path = request.url ?? '';
    const body = JSON.parse(text);
    state.requests.push({ path, body, headers: request.headers, fault, at: performance.now() });
    if (fault) misbehave(fault, response, options);
    else
      setTimeout(
        () => reply(response, options.status ?? 200, options.answer(body, path), options.headers),
        options.delay ?? 0,
      );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  const state: FaultyServer = { url: `http://127.0.0.1:${port}`, options, requests: [], peak: 0, close };
  return state;
}

function reply(response: ServerResponse, status: number, value: object, headers = {}): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

function misbehave(
  fault: Fault,
  response: ServerResponse,
  { wait = 20, slowness = 10_000, retryAfter }: FaultyServerOptions,
): void {
  switch (fault) {
    case 'overloaded':
      return reply(response, 429, { error: 'Model is overloaded' }, retryAfter ? { 'Retry-After': retryAfter } : {});
    case 'asks to wait':
      return reply(response, 503, { error: 'later' }, { 'retry-after-ms': String(wait) });
    case 'broken':
      return reply(response, 500, { error: 'internal' });
    case 'not JSON':
      response.writeHead(200, { 'Content-Type': 'text/html' });
      return void response.end('<html>Bad gateway</html>');
    case 'wrong shape':
      return reply(response, 200, { object: 'list', data: [], results: [{ index: 7 }], choices: [] });
    case 'cut off':
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 1000 });
      response.write('{"results": [{"index": 0, "relev');
      return void setTimeout(() => response.destroy(), 5);
    case 'slow':
      return void setTimeout(() => reply(response, 200, {}), slowness).unref();
  }
}

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubServer {
  url: string;
  /** "METHOD path" of every request, in order. */
  requests: string[];
  /** Authorization headers that came. */
  tokens: Set<string>;
  /** How many transfers of this file are cut off half-way before one goes through. */
  cutOff: Map<string, number>;
  /** Files of which other bytes are sent than were listed. */
  damaged: Set<string>;
  close(): Promise<void>;
}

export const COMMIT = 'c0ffee0000000000000000000000000000000001';

/** The few endpoints of the Hub that fetching a model needs, with one repository: `test/model`. */
export async function startHubServer(files: Record<string, Buffer>): Promise<HubServer> {
  const state = { requests: [] as string[], tokens: new Set<string>(), cutOff: new Map(), damaged: new Set<string>() };
  const server = createServer((request, response) => {
    state.requests.push(`${request.method} ${request.url?.split('?')[0]}`);
    if (request.headers.authorization) state.tokens.add(request.headers.authorization);
    answer(request, response, { ...state, files });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { ...state, url: `http://127.0.0.1:${port}`, close: () => close(server) };
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

type State = Pick<HubServer, 'cutOff' | 'damaged'> & { files: Record<string, Buffer> };

function answer(request: IncomingMessage, response: ServerResponse, state: State): void {
  const path = decodeURIComponent(request.url?.split('?')[0] ?? '');
  const refuse = (status: number, code: string) => {
    response.writeHead(status, { 'X-Error-Code': code, 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ error: code }));
  };
  if (path.includes('test/gated')) return refuse(403, 'GatedRepo');
  if (!path.includes('test/model')) return refuse(401, 'RepoNotFound');
  if (path.startsWith('/api/models/test/model/revision/')) {
    const revision = path.split('/').pop();
    if (revision !== 'main' && revision !== COMMIT) return refuse(404, 'RevisionNotFound');
    return json(response, { _id: '1', id: 'test/model', sha: COMMIT, lastModified: '2024-01-01T00:00:00Z' });
  }
  if (path === `/api/models/test/model/tree/${COMMIT}`) return json(response, listing(state.files));
  const file = path.replace(`/test/model/resolve/${COMMIT}/`, '');
  const content = state.files[file];
  if (!content) return refuse(404, 'EntryNotFound');
  send(request, response, { ...state, file, content });
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(value));
}

/** Large files have a SHA-256 beside the id, as with Git LFS. */
function listing(files: Record<string, Buffer>): unknown[] {
  return Object.entries(files).map(([path, content]) => {
    const oid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
    const entry = { type: 'file', path, size: content.length, oid };
    if (!path.endsWith('.safetensors')) return entry;
    const sha256 = createHash('sha256').update(content).digest('hex');
    return { ...entry, lfs: { oid: sha256, size: content.length, pointerSize: 130 } };
  });
}

type Sending = State & { file: string; content: Buffer };

function send(request: IncomingMessage, response: ServerResponse, { file, content, cutOff, damaged }: Sending): void {
  const bytes = damaged.has(file) ? Buffer.from(content).fill(7) : content;
  const [, first, last] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = last ? Number(last) + 1 : bytes.length;
  const part = bytes.subarray(start, end);
  const range = { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` };
  response.writeHead(first ? 206 : 200, { ETag: '"1"', 'Content-Length': part.length, ...(first ? range : {}) });
  const cuts = cutOff.get(file) ?? 0;
  if (part.length <= 1 || cuts === 0) return void response.end(part);
  cutOff.set(file, cuts - 1);
  response.write(part.subarray(0, Math.floor(part.length / 2)), () => setTimeout(() => response.destroy(), 50));
}

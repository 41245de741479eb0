import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A Hub that takes models: what it was given, and by whose token. */
export interface WritableHub {
  url: string;
  /** Files by path, as committed. */
  files: Map<string, Buffer>;
  requests: string[];
  tokens: Set<string | undefined>;
  repo?: { name: string; organization?: string; private?: boolean; visibility?: string };
  title?: string;
  close(): Promise<void>;
}

/** Starts it on loopback. Files of more than 1,000 bytes go through LFS, as large ones do on the Hub. */
export async function startWritableHub({ exists = false, status = 200 } = {}): Promise<WritableHub> {
  const large = new Map<string, Buffer>();
  const hub: WritableHub = { url: '', files: new Map(), requests: [], tokens: new Set(), close: async () => {} };
  const server = createServer(async (request, response) => {
    const path = (request.url ?? '').split('?')[0]!;
    hub.requests.push(`${request.method} ${path}`);
    const body = await bodyOf(request);
    const reply = (value: object, code = 200) => {
      response.writeHead(code, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (!path.startsWith('/upload/')) hub.tokens.add(request.headers.authorization);
    if (status !== 200) return reply({ error: 'no' }, status);
    if (path === '/api/repos/create') {
      hub.repo = JSON.parse(String(body));
      return exists
        ? reply({ error: 'You already created this model repo' }, 409)
        : reply({ url: hub.url, id: 'me/mine' });
    }
    if (path.includes('/preupload/')) {
      const { files } = JSON.parse(String(body)) as { files: { path: string; size: number }[] };
      const uploadMode = (size: number) => (size > 1000 ? 'lfs' : 'regular');
      return reply({ files: files.map((file) => ({ path: file.path, uploadMode: uploadMode(file.size) })) });
    }
    if (path.endsWith('/info/lfs/objects/batch')) {
      const { objects } = JSON.parse(String(body)) as { objects: { oid: string; size: number }[] };
      const actions = (oid: string) => ({ upload: { href: `${hub.url}/upload/${oid}`, header: {} } });
      return reply({ transfer: 'basic', objects: objects.map((one) => ({ ...one, actions: actions(one.oid) })) });
    }
    if (path.startsWith('/upload/')) {
      large.set(path.slice('/upload/'.length), body);
      return reply({});
    }
    if (path.includes('/commit/')) {
      take(String(body), { hub, large });
      return reply({ commitUrl: `${hub.url}/me/mine/commit/abc`, commitOid: 'abc', hookOutput: '' });
    }
    reply({ error: `no such place: ${path}` }, 404);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  hub.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  hub.close = () => new Promise((resolve) => server.close(() => resolve()));
  return hub;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

interface Operation {
  key: string;
  value: { path: string; content: string; oid: string; summary: string };
}

function take(text: string, { hub, large }: { hub: WritableHub; large: Map<string, Buffer> }): void {
  for (const line of text.trim().split('\n')) {
    const { key, value } = JSON.parse(line) as Operation;
    if (key === 'header') hub.title = value.summary;
    if (key === 'file') hub.files.set(value.path, Buffer.from(value.content, 'base64'));
    if (key !== 'lfsFile') continue;
    const bytes = large.get(value.oid);
    if (!bytes || createHash('sha256').update(bytes).digest('hex') !== value.oid) throw new Error(`no ${value.path}`);
    hub.files.set(value.path, bytes);
  }
}

import { createHash, type Hash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, mkdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { setTimeout as sleep } from 'node:timers/promises';
import { downloadFile, HubApiError, type ListFileEntry } from '@huggingface/hub';
import { ModelError } from '../errors.js';
import { withLock } from '../setup/lock.js';
import type { LongWork, Progress } from '../types.js';
import { explainHubError, hubFetch, type Repository } from './hub-requests.js';

interface Download extends LongWork {
  repository: Repository;
  commit: string;
}

const ATTEMPTS = 3;

/**
 * Brings files of one commit into the cache: the content into blobs/ under its hash, a link to it into the commit's
 * snapshot, as huggingface_hub does it. Of several processes one fetches a file and the others wait for it. A file that
 * was cut off is continued where it stopped, and every file's hash is compared with the one that the Hub lists.
 */
export async function fetchFiles(files: ListFileEntry[], download: Download): Promise<void> {
  const { repository, commit, onProgress = progressLines() } = download;
  const total = files.reduce((sum, file) => sum + file.size, 0);
  let done = 0;
  const note = `${files.length} files of ${repository.name} from ${repository.endpoint} to ${repository.folder}`;
  const report = (bytes: number) => {
    done += bytes;
    onProgress({ stage: 'download', done, total, unit: 'bytes', note });
  };
  const onWait = (file: ListFileEntry) => {
    const waiting = `waiting for another process that fetches ${file.path} of ${repository.name}`;
    onProgress({ stage: 'download', done, total, unit: 'bytes', note: waiting });
  };
  report(0);
  for (const file of files) {
    const blob = join(repository.folder, 'blobs', blobName(file));
    const before = done;
    if (!(await exists(blob))) {
      await mkdir(dirname(blob), { recursive: true });
      const lock = { signal: download.signal, onWait: () => onWait(file) };
      await withLock(`${blob}.listwise.lock`, () => fetchBlob(file, blob, { ...download, report }), lock);
    }
    // What an earlier run had of the file already, or the whole of it.
    if (before + file.size > done) report(before + file.size - done);
    await link(blob, safeJoin(join(repository.folder, 'snapshots', commit), file.path));
  }
}

/** The name that huggingface_hub gives the content: SHA-256 of large files, git's object id of others. */
function blobName(file: ListFileEntry): string {
  const name = file.lfs?.oid ?? file.oid ?? '';
  if (/^[0-9a-f]{40,64}$/.test(name)) return name;
  throw new ModelError(`The Hub gave no usable hash for ${file.path} but "${name}".`);
}

/** Paths come from the Hub; none may lead out of the snapshot. */
function safeJoin(directory: string, path: string): string {
  const file = resolve(directory, path);
  if (file.startsWith(directory + sep)) return file;
  throw new ModelError(`The Hub lists a file outside of its repository: ${path}`);
}

type BlobDownload = Download & { report: (bytes: number) => void };

/** Fetches a blob unless another process has done so; only one process at a time may be here. */
async function fetchBlob(file: ListFileEntry, blob: string, download: BlobDownload): Promise<void> {
  if (await exists(blob)) return;
  // A name of our own: huggingface_hub appends to <blob>.incomplete, and knows other locks than ours.
  const incomplete = `${blob}.listwise.incomplete`;
  for (let attempt = 1; ; attempt++) {
    const { fetch, answer } = hubFetch(download.repository, download.signal);
    try {
      await append(file, incomplete, { ...download, fetch });
      break;
    } catch (error) {
      download.signal?.throwIfAborted();
      // What the Hub refuses it will refuse again; a broken connection is tried again from where it broke.
      if (attempt < ATTEMPTS && !(error instanceof HubApiError && error.statusCode < 500)) {
        const { signal } = download;
        await sleep(500 * attempt, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
        continue;
      }
      throw explainHubError(error, { repository: download.repository, answer, signal: download.signal });
    }
  }
  await verify(file, incomplete);
  await rename(incomplete, blob);
}

/** Fetches what the file still lacks. */
async function append(
  file: ListFileEntry,
  incomplete: string,
  { repository, commit, signal, report, fetch }: BlobDownload & { fetch: typeof globalThis.fetch },
): Promise<void> {
  const { size: start } = await stat(incomplete).catch(() => ({ size: 0 }));
  if (start >= file.size && start > 0) return;
  const { name, endpoint } = repository;
  const where = { repo: name, path: file.path, revision: commit, hubUrl: endpoint };
  // The plain transfer, for which a proxy or mirror needs to know nothing but HTTP ranges.
  const blob = await downloadFile({ ...where, fetch, xet: false });
  if (!blob) throw new ModelError(`${endpoint}/${name} lists ${file.path} but does not have it.`);
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      report(chunk.length);
      callback(null, chunk);
    },
  });
  const source = Readable.fromWeb((start ? blob.slice(start) : blob).stream() as ReadableStream);
  await pipeline(source, counted, createWriteStream(incomplete, { flags: 'a' }), { signal });
  const { size } = await stat(incomplete);
  if (size < file.size) throw new Error(`the connection ended after ${size} of ${file.size} bytes of ${file.path}`);
}

async function verify(file: ListFileEntry, path: string): Promise<void> {
  const hash: Hash = file.lfs ? createHash('sha256') : createHash('sha1').update(`blob ${file.size}\0`);
  await pipeline(createReadStream(path), hash);
  const found: string = hash.digest('hex');
  if (found === blobName(file)) return;
  await rm(path, { force: true });
  throw new ModelError(
    `Expected hash ${blobName(file)} for ${file.path} but what came has ${found}: it was damaged on the way or changed ` +
      'meanwhile. Nothing of it was kept; run again.',
  );
}

async function link(blob: string, file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  // Renamed into place, so that another process never finds the name free or gone.
  const fresh = `${file}.${process.pid}.${randomUUID()}`;
  await symlink(relative(dirname(file), blob), fresh);
  await rename(fresh, file);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

const EVERY_MS = 3_000;

/** Shows a download on stderr: first what comes, from where to where and how large, then every few seconds how far. */
function progressLines(): (progress: Progress) => void {
  let last = 0;
  let lastNote: string | undefined;
  return ({ done, total, note }) => {
    const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
    if (last === 0) process.stderr.write(`Downloading ${note}: ${megabytes(total)}\n`);
    else if (note !== lastNote && note?.startsWith('waiting')) process.stderr.write(`  ${note}\n`);
    else if (done === total || Date.now() - last > EVERY_MS) {
      process.stderr.write(`  ${megabytes(done)} of ${megabytes(total)}\n`);
    } else return;
    lastNote = note;
    last = Date.now();
  };
}

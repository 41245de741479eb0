import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { getHFHubCachePath, HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { InvalidArgumentError, ListwiseError, ModelError, NotFoundError } from '../errors.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { LongWork } from '../types.js';
import { fetchFiles } from './hub-download.js';
import { explainHubError, hubFetch, type Repository } from './hub-requests.js';
import { adapterRefusal } from './weight-files.js';

export interface ResolveOptions extends LongWork {
  /** Branch, tag or commit of the Hub's repository; default 'main'. Local directories have none. */
  revision?: string;
  /** What the name was given as, for messages. Default 'model'. */
  argument?: string;
}

const COMMIT = /^[0-9a-f]{40}$/;
/** How long to wait for the Hub's answer when a complete copy is in the cache already. */
const CHECK_MS = 10_000;

/** Where the Hub is: HF_ENDPOINT, else the public one. */
export function hubEndpoint(): string {
  return (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');
}

/** Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids to ask the Hub. */
export function isHubOffline(): boolean {
  return [process.env.HF_HUB_OFFLINE, process.env.TRANSFORMERS_OFFLINE].some((value) =>
    /^(1|on|yes|true)$/i.test(value ?? ''),
  );
}

/**
 * The directory of a model: a local directory as it is, or a Hub name ('org/name'), whose files are fetched into the
 * cache that Python's huggingface_hub uses, in the same layout, if they are not there. Only configuration, tokeniser
 * and safetensors files are fetched. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured.
 * Downloads are shown on stderr, unless `onProgress` is given, which then hears of them in bytes.
 * @throws NotFoundError if there is no such directory or repository, or the Hub cannot be asked and there is no copy
 * @throws ModelError if the repository has no safetensors weights
 * @throws ListwiseError INVALID_ARGUMENT for a name that cannot be, or an option that there is not
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  rejectUnknownOptions(options, ['revision', 'argument', 'signal', 'onProgress'], 'resolveModel');
  const { argument = 'model', revision = 'main', signal } = options;
  signal?.throwIfAborted();
  if (typeof model !== 'string' || model === '') {
    throw new InvalidArgumentError(argument, 'a directory or a Hub name "owner/name"', model);
  }
  if (await isDirectory(model)) return resolve(model);
  const repository = repositoryOf(model, revision, argument);
  const cached = await cachedSnapshot(repository);
  if (isHubOffline()) return cached ?? refuseOffline(repository);
  if (cached && COMMIT.test(repository.revision)) return cached;
  return fetchSnapshot(repository, { ...options, cached });
}

/**
 * The directory of a Hub model that lies complete in the cache, without asking the Hub; null if there is none.
 * `revision` defaults to 'main'.
 */
export async function cachedModel(name: string, { revision = 'main' } = {}): Promise<string | null> {
  return cachedSnapshot(repositoryOf(name, revision));
}

function repositoryOf(name: string, revision: string, argument = 'model'): Repository {
  if (/^[\w.-]+\/[\w.-]+$/.test(name) && !/^\.{0,2}\//.test(name)) {
    const folder = join(getHFHubCachePath(), `models--${name.replace('/', '--')}`);
    return { name, revision, folder, endpoint: hubEndpoint(), token: undefined };
  }
  if (/^[\w-][\w.-]*$/.test(name)) {
    const remedy = `give the owner as well, such as sentence-transformers/${name}, or a path such as ./${name}`;
    throw new InvalidArgumentError(argument, 'a directory or a Hub name "owner/name"', name, remedy);
  }
  throw new NotFoundError(
    `Expected a model's directory or a Hub name "owner/name" for ${argument}, but there is no directory ${resolve(name)}.`,
  );
}

function refuseOffline({ name, revision, folder }: Repository): never {
  throw new NotFoundError(
    `HF_HUB_OFFLINE is set and ${name} (revision ${revision}) is not complete in ${folder}. ` +
      'Unset it and run again with a network, or set HF_HOME to the cache that has the model.',
  );
}

/** Asks the Hub which commit the revision is, and fetches what the cache lacks of it. */
async function fetchSnapshot(
  unauthorized: Repository,
  { signal, onProgress, cached }: ResolveOptions & { cached: string | null },
): Promise<string> {
  const repository = { ...unauthorized, token: await accessToken() };
  const patience = cached ? AbortSignal.timeout(CHECK_MS) : undefined;
  let commit: string;
  try {
    commit = await commitOf(repository, patience ? AbortSignal.any([patience, ...(signal ? [signal] : [])]) : signal);
  } catch (error) {
    signal?.throwIfAborted();
    // Where the Hub cannot be reached the copy serves; what the Hub itself refuses is passed on.
    if (cached && !(error instanceof ListwiseError && error.cause instanceof HubApiError)) return cached;
    throw error;
  }
  const snapshot = join(repository.folder, 'snapshots', commit);
  if (!(await isComplete(snapshot))) {
    const wanted = neededFiles(await filesOf(repository, commit, signal), repository);
    await fetchFiles(wanted, { repository, commit, signal, onProgress });
  }
  await writeRef(repository, commit);
  return snapshot;
}

async function commitOf(repository: Repository, signal?: AbortSignal): Promise<string> {
  const { name, revision, endpoint } = repository;
  const { fetch, answer } = hubFetch(repository, signal);
  try {
    const shared = { hubUrl: endpoint, fetch };
    return (await modelInfo({ name, revision, additionalFields: ['sha'], ...shared })).sha;
  } catch (error) {
    throw explainHubError(error, { repository, answer, signal });
  }
}

async function filesOf(repository: Repository, commit: string, signal?: AbortSignal): Promise<ListFileEntry[]> {
  const { name, endpoint } = repository;
  const { fetch, answer } = hubFetch(repository, signal);
  const files: ListFileEntry[] = [];
  try {
    const shared = { hubUrl: endpoint, fetch };
    for await (const file of listFiles({ repo: name, revision: commit, recursive: true, ...shared })) files.push(file);
  } catch (error) {
    throw explainHubError(error, { repository, answer, signal });
  }
  return files.filter((file) => file.type === 'file');
}

/** Configuration, tokeniser and weights, at the top or in a module's directory such as 1_Pooling. */
const NEEDED = new RegExp(
  '^(\\d+_\\w+/)?(' +
    [
      'config\\.json|modules\\.json|config_sentence_transformers\\.json|sentence_\\w+_config\\.json',
      'tokenizer\\.json|tokenizer_config\\.json|special_tokens_map\\.json|added_tokens\\.json|vocab\\.\\w+|merges\\.txt',
      'model\\.safetensors|model\\.safetensors\\.index\\.json|model-\\d+-of-\\d+\\.safetensors',
    ].join('|') +
    ')$',
);

function neededFiles(files: ListFileEntry[], { name, endpoint }: Repository): ListFileEntry[] {
  if (files.some(({ path }) => /^(\d+_\w+\/)?adapter_config\.json$/.test(path)))
    throw adapterRefusal(`${endpoint}/${name}`);
  const needed = files.filter((file) => NEEDED.test(file.path));
  if (needed.some((file) => file.path.endsWith('.safetensors'))) return needed;
  const other = files.filter((file) => /\.(bin|pt|pth|ckpt|h5|msgpack|onnx|gguf)$/.test(file.path));
  throw new ModelError(
    `${endpoint}/${name} has no safetensors weights${other.length ? `, only ${listed(other)}` : ''}. listwise reads ` +
      'nothing else, because pickles can run code: use a repository or revision with model.safetensors, or convert ' +
      'it in Python: SentenceTransformer(name).save(directory, safe_serialization=True).',
  );
}

function listed(files: ListFileEntry[]): string {
  const names = files.slice(0, 3).map((file) => file.path);
  return files.length > 3 ? `${names.join(', ')} and ${files.length - 3} more` : names.join(', ');
}

async function cachedSnapshot({ folder, revision }: Repository): Promise<string | null> {
  const commit = COMMIT.test(revision) ? revision : await textOf(join(folder, 'refs', revision));
  if (!commit) return null;
  const snapshot = join(folder, 'snapshots', commit);
  return (await isComplete(snapshot)) ? snapshot : null;
}

/** Python may have put a few files of a repository there only; then the rest has to follow. */
async function isComplete(snapshot: string): Promise<boolean> {
  const marks = ['config.json', 'tokenizer.json'].map((file) => join(snapshot, file));
  if (!marks.every((file) => existsSync(file))) return false;
  const modules = await readJson(join(snapshot, 'modules.json'));
  const paths = Array.isArray(modules) ? modules.map((module) => join(snapshot, String(module?.path ?? ''))) : [];
  for (const path of paths.filter((path) => path.includes('_Pooling') || path.includes('_Dense'))) {
    if (!existsSync(join(path, 'config.json'))) return false;
  }
  return hasWeights(snapshot);
}

async function hasWeights(snapshot: string): Promise<boolean> {
  const names = (await readdir(snapshot).catch(() => [])).filter((name) => existsSync(join(snapshot, name)));
  if (names.includes('model.safetensors')) return true;
  const index = await readJson(join(snapshot, 'model.safetensors.index.json'));
  const shards = Object.values((index as { weight_map?: Record<string, string> } | null)?.weight_map ?? {});
  return shards.length > 0 && shards.every((shard) => names.includes(shard));
}

async function writeRef({ folder, revision }: Repository, commit: string): Promise<void> {
  if (COMMIT.test(revision)) return;
  const file = join(folder, 'refs', revision);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, commit);
}

/**
 * HF_TOKEN, or the file in which `hf auth login` keeps it.
 * @throws InvalidArgumentError if it cannot be sent; the message does not show it
 */
export async function accessToken(): Promise<string | undefined> {
  if (/^(1|on|yes|true)$/i.test(process.env.HF_HUB_DISABLE_IMPLICIT_TOKEN ?? '')) return undefined;
  const home = process.env.HF_HOME ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  const token = process.env.HF_TOKEN?.trim() || (await textOf(process.env.HF_TOKEN_PATH || join(home, 'token')));
  if (!/^[\x21-\x7e]*$/.test(token)) {
    const remedy = 'check that the variable, or the file that it stands for, holds the token alone';
    throw new InvalidArgumentError('HF_TOKEN', 'ASCII letters, digits and signs', 'other characters', remedy);
  }
  return token || undefined;
}

async function textOf(file: string): Promise<string> {
  return (await readFile(file, 'utf8').catch(() => '')).trim();
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return null;
  }
}

/** Whether a model's name is a local directory's, which goes before the Hub's. */
export async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createRepo, HubApiError, uploadFiles } from '@huggingface/hub';
import { InvalidArgumentError, ListwiseError, ModelError } from '../errors.js';
import { rejectUnknownOptions } from '../option-names.js';
import { readModelDirectory } from './directory.js';
import { accessToken, hubEndpoint, isHubOffline } from './hub.js';
import { hubFetch, reasonOf } from './hub-requests.js';

export interface PushOptions {
  /** The repository on the Hub, 'owner/name'. */
  repo: string;
  /** Who may see a repository that is made new; 'private' by default. */
  visibility?: 'private' | 'public';
  /** The commit's title. */
  message?: string;
  signal?: AbortSignal;
}

export interface PushPlan {
  /** Where the model will be. */
  url: string;
  files: { path: string; bytes: number }[];
  bytes: number;
}

export interface PushResult extends PushPlan {
  /** Of the commit; absent if the Hub did not say. */
  commit?: string;
}

const PUSHED = /^(?!\.).*\.(json|txt|model|safetensors|md|onnx|onnx_data)$/;

/**
 * What a push would upload: configuration, tokeniser, safetensors weights, ONNX files and the card.
 * @throws NotFoundError, ModelError if it is no model; InvalidArgumentError for a repository's name that cannot be
 */
export async function planPush(directory: string, { repo }: Pick<PushOptions, 'repo'>): Promise<PushPlan> {
  if (typeof repo !== 'string' || !/^[\w.-]+\/[\w.-]+$/.test(repo)) {
    throw new InvalidArgumentError('repo', 'a name on the Hub, "owner/name",', repo);
  }
  await readModelDirectory(directory);
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files: PushPlan['files'] = [];
  for (const entry of entries) {
    if (entry.isDirectory() || !PUSHED.test(entry.name)) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    const path = relative(directory, file).split(sep).join('/');
    files.push({ path, bytes: (await stat(file)).size });
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  if (!files.some(({ path }) => path === 'README.md')) {
    throw new ModelError(`${directory} has no README.md: a model without a card tells nobody what it is. Write one.`);
  }
  return { url: `${hubEndpoint()}/${repo}`, files, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/**
 * Uploads a model's directory to the Hub, in one commit; the repository is made if there is none. HF_TOKEN, or the file
 * in which `hf auth login` keeps it, must allow it; HF_ENDPOINT is honoured.
 * @throws what planPush throws; ListwiseError NOT_FOUND if there is no token or the Hub refuses, in words;
 *   `signal.reason` when aborted
 */
export async function pushModel(directory: string, options: PushOptions): Promise<PushResult> {
  rejectUnknownOptions(options, ['repo', 'visibility', 'message', 'signal'], 'pushModel');
  const { repo, visibility = 'private', message = 'A model specialised by listwise', signal } = options;
  if (visibility !== 'private' && visibility !== 'public') {
    throw new InvalidArgumentError('visibility', "'private' or 'public'", visibility);
  }
  const plan = await planPush(directory, { repo });
  const token = await accessToken();
  const endpoint = hubEndpoint();
  if (isHubOffline()) throw new ListwiseError('NOT_FOUND', 'HF_HUB_OFFLINE is set; unset it to push to the Hub.');
  if (token === undefined) {
    throw new ListwiseError(
      'NOT_FOUND',
      `${endpoint} takes models from those with a token only: set HF_TOKEN to one that may write, or log in with \`hf auth login\`.`,
    );
  }
  const repository = { name: repo, revision: 'main', folder: directory, endpoint, token };
  const { fetch } = hubFetch(repository, signal);
  const designation = { type: 'model', name: repo } as const;
  const hub = { hubUrl: endpoint, fetch };
  try {
    await createRepo({ repo: designation, visibility, accessToken: undefined as never, ...hub }).catch(existing);
    const files = await contents(directory, plan);
    // Plain LFS: every endpoint speaks it.
    const committed = await uploadFiles({ repo: designation, files, commitTitle: message, useXet: false, ...hub });
    const commit = committed?.commit.oid;
    return { ...plan, ...(commit && { commit }) };
  } catch (error) {
    throw explain(error, { url: plan.url, signal });
  }
}

/** A repository that is there already is no problem. */
function existing(error: unknown): void {
  if (!(error instanceof HubApiError && error.statusCode === 409)) throw error;
}

/** Small files as they are; weights by their place, so that they are streamed. */
async function contents(directory: string, { files }: PushPlan) {
  return Promise.all(
    files.map(async ({ path, bytes }) => ({
      path,
      content:
        bytes < 1 << 20 ? new Blob([await readFile(join(directory, path))]) : pathToFileURL(join(directory, path)),
    })),
  );
}

function explain(error: unknown, { url, signal }: { url: string; signal: AbortSignal | undefined }): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof ListwiseError) return error;
  const cause = { cause: error };
  if (error instanceof HubApiError && [401, 403].includes(error.statusCode)) {
    const remedy = 'check that the token may write, and that the owner is you or an organisation of yours';
    return new ListwiseError(
      'NOT_FOUND',
      `The Hub refuses to write to ${url} (${error.statusCode}); ${remedy}.`,
      cause,
    );
  }
  const status = error instanceof HubApiError ? `it answered ${error.statusCode}: ` : '';
  return new ListwiseError(
    'NOT_FOUND',
    `Could not push to ${url}: ${status}${reasonOf(error)}. Nothing was committed; try again.`,
    cause,
  );
}

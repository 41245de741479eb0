import { HubApiError } from '@huggingface/hub';
import { ListwiseError, NotFoundError } from '../errors.js';

/** A model's repository on the Hub, and its folder in the cache. */
export interface Repository {
  name: string;
  revision: string;
  folder: string;
  endpoint: string;
  token: string | undefined;
}

/** What the last answer said in X-Error-Code, the Hub's own name for what is wrong. */
export interface HubAnswer {
  errorCode: string | null;
}

/**
 * A `fetch` that can be aborted, that keeps the Hub's error code, which the client library leaves out, and that sends
 * the token. The client library would too, but refuses tokens that do not start with hf_, as those of mirrors.
 */
export function hubFetch(repository: Repository, signal?: AbortSignal): { fetch: typeof fetch; answer: HubAnswer } {
  const answer: HubAnswer = { errorCode: null };
  const wrapped: typeof fetch = async (url, init) => {
    const headers = new Headers(init?.headers);
    if (repository.token && isOwn(url, repository)) headers.set('Authorization', `Bearer ${repository.token}`);
    const response = await fetch(url, { ...init, headers, ...(signal ? { signal } : {}) });
    answer.errorCode = response.headers.get('X-Error-Code');
    return response;
  };
  return { fetch: wrapped, answer };
}

/** Whether an address is the endpoint's; no other gets the token. */
function isOwn(url: string | URL | Request, { endpoint }: Repository): boolean {
  return new URL(url instanceof Request ? url.url : url).origin === new URL(endpoint).origin;
}

/** An error of the client library or of the network, as one that says which model, why, and what to do. */
export function explainHubError(
  error: unknown,
  context: { repository: Repository; answer: HubAnswer; signal?: AbortSignal | undefined },
): unknown {
  const { repository, answer, signal } = context;
  if (error instanceof ListwiseError) return error;
  if (signal?.aborted) return signal.reason;
  if (error instanceof HubApiError) return refused(error, repository, answer);
  const { endpoint, name, folder } = repository;
  return new NotFoundError(
    `Could not get ${name} from ${endpoint}: ${reasonOf(error)}. There is no complete copy in ${folder}. Check the ` +
      'network, HF_ENDPOINT and proxies, or give the directory of a model instead of its name.',
    { cause: error },
  );
}

function refused(
  error: HubApiError,
  { name, revision, endpoint, token }: Repository,
  answer: HubAnswer,
): ListwiseError {
  const page = `${endpoint}/${name}`;
  const cause = { cause: error };
  if (answer.errorCode === 'GatedRepo') {
    const todo = token
      ? `its terms must be accepted on ${page} by the owner of the token in HF_TOKEN`
      : `accept its terms on ${page} and set HF_TOKEN to a token of yours`;
    return new ListwiseError('NOT_FOUND', `${name} is gated: ${todo}.`, cause);
  }
  if (answer.errorCode === 'RevisionNotFound') {
    return new NotFoundError(`${page} has no revision "${revision}". Its branches and tags are on its page.`, cause);
  }
  if ([401, 403, 404].includes(error.statusCode)) {
    const secret = token ? 'the token in HF_TOKEN may not read it' : 'it is private and HF_TOKEN is not set';
    return new NotFoundError(`${endpoint} has no model "${name}", or ${secret}. Check the spelling.`, cause);
  }
  return new ListwiseError(
    'NOT_FOUND',
    `${endpoint} answered ${error.statusCode} for ${name}: ${error.message} Try again later.`,
    cause,
  );
}

/** The innermost cause: fetch itself says only "fetch failed". */
export function reasonOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  return inner instanceof Error ? inner.message || String((inner as { code?: string }).code) : String(inner);
}

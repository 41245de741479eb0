import { InvalidArgumentError, ListwiseError, RemoteError } from '../errors.js';
import { checkKeyVariable, keyFromEnvironment, withoutKey } from './key.js';
import { Pacer, type PacingOptions, settlePacing } from './pacer.js';
import { retryAfter } from './retry-after.js';

export interface EndpointOptions extends PacingOptions {
  /** Where requests go. Keys have no place in it. */
  url: string;
  /** The environment variable that holds the key; without it none is sent. */
  keyVariable?: string;
  /** The header that carries the key. Default 'Authorization', as a bearer token; any other header gets the key alone. */
  keyHeader?: string;
  /** Seconds after which a request is given up and tried again, up to 300. Default 120. */
  timeout?: number;
}

export interface PostOptions<T> {
  /** Makes an answer of the reply's JSON; what it throws counts as a failure that may pass, and its message is shown. */
  read: (reply: unknown) => T;
  /** See PacedWork. */
  tokens?: number;
  signal?: AbortSignal;
}

/** One address that takes and answers JSON, asked with patience: see Pacer. */
export class Endpoint {
  /** Without what may be secret: origin and path. */
  readonly address: string;
  readonly pacer: Pacer;
  readonly #url: URL;
  readonly #key: string | undefined;
  readonly #keyHeader: string;
  readonly #timeout: number;

  /**
   * @throws InvalidArgumentError for an option that cannot be
   * @throws ListwiseError INVALID_ARGUMENT if the environment has no such key
   */
  constructor(options: EndpointOptions) {
    checkEndpoint(options);
    const { url, keyVariable, keyHeader = 'Authorization', timeout = 120, ...pacing } = options;
    this.#url = new URL(url);
    this.address = `${this.#url.origin}${this.#url.pathname}`;
    this.pacer = new Pacer(pacing);
    this.#key = keyVariable === undefined ? undefined : keyFromEnvironment(keyVariable);
    this.#keyHeader = keyHeader;
    this.#timeout = timeout * 1000;
  }

  /**
   * Asks until there is an answer.
   * @throws RemoteError if the server refuses, or fails as often as `retries` allows; `signal.reason` when aborted
   */
  async post<T>(body: object, { read, tokens, signal }: PostOptions<T>): Promise<T> {
    const text = JSON.stringify(body);
    const attempt = async () => {
      const reply = await this.#exchange(text, signal);
      try {
        return read(reply);
      } catch (cause) {
        throw this.#error(`answered, but not as expected: ${(cause as Error).message}`, { failure: 'failed' });
      }
    };
    return this.pacer.run(attempt, { tokens, signal });
  }

  async #exchange(body: string, signal?: AbortSignal): Promise<unknown> {
    const timeout = AbortSignal.timeout(this.#timeout);
    const { status, ok, headers, text } = await this.#send(body, signal ? AbortSignal.any([signal, timeout]) : timeout);
    if (!ok) throw this.#refusal(status, text, headers);
    try {
      return JSON.parse(text);
    } catch {
      throw this.#error(`answered, but not with JSON: ${this.#shown(text)}`, { failure: 'failed', status });
    }
  }

  async #send(body: string, signal: AbortSignal) {
    const bearer = this.#keyHeader.toLowerCase() === 'authorization' ? 'Bearer ' : '';
    const headers = {
      'Content-Type': 'application/json',
      ...(this.#key && { [this.#keyHeader]: `${bearer}${this.#key}` }),
    };
    try {
      // Followed, a redirect would take the key's header to whatever server it names.
      const response = await fetch(this.#url, { method: 'POST', headers, body, signal, redirect: 'manual' });
      return { status: response.status, ok: response.ok, headers: response.headers, text: await response.text() };
    } catch (cause) {
      throw this.#interruption(cause);
    }
  }

  /** What fetch throws, in words: a time-out, a connection that cannot be made, or one that broke. */
  #interruption(cause: unknown): unknown {
    const { name, message, cause: inner } = cause as Error & { cause?: { code?: string; message?: string } };
    if (name === 'TimeoutError') {
      return this.#error(`gave no answer within ${this.#timeout / 1000} s.`, { failure: 'overloaded', cause });
    }
    if (name === 'AbortError') return cause;
    const code = inner?.code ?? '';
    if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/.test(code)) {
      const problem = `cannot be reached (${code}); check the address, and that the server runs.`;
      return this.#error(problem, { failure: 'unreachable', cause });
    }
    if (inner?.message === 'bad port') {
      return this.#error('has a port that fetch does not speak to; give the server another.', {
        failure: 'refused',
        cause,
      });
    }
    return this.#error(`broke the connection off: ${inner?.message ?? message}.`, { failure: 'failed', cause });
  }

  #refusal(status: number, text: string, headers: Headers): RemoteError {
    const wait = retryAfter(headers);
    // OpenAI and others say 429 for an empty account too, which no waiting fills.
    const isPayment = status === 402 || /insufficient_quota/.test(text);
    const isOverload = !isPayment && [408, 425, 429, 503, 529].includes(status);
    const failure = isOverload ? 'overloaded' : status >= 500 ? 'failed' : 'refused';
    const elsewhere = headers.get('location');
    const isRedirect = status >= 300 && status < 400 && elsewhere !== null;
    const known = isRedirect ? `; give ${this.#shown(elsewhere)}, which it names, if you trust it` : REMEDIES[status];
    const remedy = isPayment ? '; the account has no credit left' : (known ?? '');
    const asked = wait === undefined ? '' : ` (asks to wait ${Math.ceil(wait / 1000)} s)`;
    return this.#error(`answered ${status}${asked}${remedy}: ${this.#shown(text)}`, {
      failure,
      status,
      retryAfter: wait,
    });
  }

  /** The key is put out before the text is cut, lest a part of it be left at the end. */
  #shown(text: string): string {
    return shown(withoutKey(text, this.#key));
  }

  #error(problem: string, details: ConstructorParameters<typeof RemoteError>[2]): RemoteError {
    return new RemoteError(this.address, withoutKey(problem, this.#key), details);
  }
}

const REMEDIES: Readonly<Record<number, string>> = {
  401: '; check that the key is right and has not expired',
  403: '; check that the key may use this model',
  404: '; check the address and the name of the model',
  413: '; send less at a time',
};

/** The beginning of a reply as one line without control characters. */
function shown(text: string): string {
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ').trim();
  if (line === '') return '(nothing)';
  return line.length > 300 ? `${line.slice(0, 297)}...` : line;
}

/** Checks everything but whether the key is there. @throws InvalidArgumentError for an option that cannot be */
export function checkEndpoint({ url, keyVariable, keyHeader, timeout, ...pacing }: EndpointOptions): void {
  const parsed = typeof url === 'string' && URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol)) {
    throw new InvalidArgumentError('url', 'an address that begins with http:// or https://', url);
  }
  if (parsed.username || parsed.password) {
    const remedy = 'put the key in an environment variable and name that by keyVariable';
    throw new ListwiseError('INVALID_ARGUMENT', `Expected an address without user and password for url; ${remedy}.`);
  }
  checkKeyVariable(keyVariable);
  if (keyHeader !== undefined && !/^[A-Za-z0-9-]+$/.test(keyHeader)) {
    throw new InvalidArgumentError('keyHeader', 'the name of a header', keyHeader);
  }
  if (timeout !== undefined && !(timeout > 0 && timeout <= 300)) {
    throw new InvalidArgumentError('timeout', 'seconds above 0 and up to 300', timeout);
  }
  settlePacing(pacing);
}

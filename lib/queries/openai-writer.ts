import OpenAI, { APIConnectionError, APIConnectionTimeoutError, APIError, APIUserAbortError } from 'openai';
import type { ChatCompletionCreateParamsNonStreaming } from 'openai/resources';
import { ListwiseError, type RemoteDetails, RemoteError, type RemoteFailure } from '../errors.js';
import { withoutKey } from '../http/key.js';
import { Pacer } from '../http/pacer.js';
import { retryAfter } from '../http/retry-after.js';
import { choicesOf, readCompletion, readUsage, StrangeReply, shown } from './chat-completion.js';
import type { SettledEndpoint, SettledLlm } from './llm-options.js';
import type { ChatBody } from './request.js';
import type { Completion, Writer } from './writer.js';

const OPENAI = 'https://api.openai.com/v1';

/** Replies in a row that are no chat completions, before the first that is one, after which the address is wrong. */
const STRANGE = 5;

const REMEDIES: Readonly<Record<number, string>> = {
  401: 'the key is wrong or has expired; check the variable that llmKeyEnv names',
  402: 'the account has no credit left',
  403: 'the key may not use this model; check the key and the model',
  404: 'the server does not know the model or the address; check llmModel and llmBaseUrl',
};

/** A server that speaks OpenAI's chat completions. */
export class OpenAiWriter implements Writer {
  readonly model: string;
  readonly address: string;
  readonly pacer: Pacer;
  readonly #client: OpenAI;
  readonly #key: string | undefined;
  readonly #settings: SettledLlm;
  #isKnown = false;
  #strange = 0;

  /** @throws ListwiseError INVALID_ARGUMENT if the environment has no such key */
  constructor(endpoint: SettledEndpoint, settings: SettledLlm) {
    const { baseUrl = OPENAI } = endpoint;
    const { concurrency, requestsPerMinute, tokensPerMinute } = endpoint;
    const { retries, backoff, timeout } = settings;
    const url = new URL(baseUrl);
    this.model = endpoint.model;
    this.address = `${url.origin}${url.pathname}`;
    this.pacer = new Pacer({ concurrency, requestsPerMinute, tokensPerMinute, retries, backoff });
    this.#settings = settings;
    this.#key = keyOf(endpoint);
    this.#client = new OpenAI({
      ...{ baseURL: baseUrl, maxRetries: 0, timeout: timeout * 1000, logLevel: 'off' },
      // Only what was asked for goes out: by itself the client would take these from the environment.
      ...{ organization: null, project: null, webhookSecret: null, adminAPIKey: null },
      apiKey: this.#key ?? 'none',
      ...(this.#key === undefined && { defaultHeaders: { Authorization: null } }),
    });
  }

  async complete(body: ChatBody, signal: AbortSignal): Promise<Completion> {
    try {
      const completion = this.#settings.stream ? await this.#stream(body, signal) : await this.#whole(body, signal);
      this.#isKnown = true;
      return completion;
    } catch (error) {
      signal.throwIfAborted();
      throw this.#explain(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #whole(body: ChatBody, signal: AbortSignal): Promise<Completion> {
    const reply = await this.#client.chat.completions.create(body as ChatCompletionCreateParamsNonStreaming, {
      signal,
    });
    const completion = readCompletion(reply);
    this.#checkModel(completion.model);
    return completion;
  }

  async #stream(body: ChatBody, signal: AbortSignal): Promise<Completion> {
    const streamed = { ...body, stream: true as const, stream_options: { include_usage: true } };
    // The reply's limit of time is for its beginning; a stream that falls silent must not be waited for either.
    const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#settings.timeout * 1000)]);
    const chunks = await this.#client.chat.completions.create(streamed, { signal: limit });
    let [text, model, finish] = ['', '', undefined as string | undefined];
    let usage: ReturnType<typeof readUsage> = {};
    for await (const chunk of chunks) {
      const choice = choicesOf(chunk)[0];
      text += choice?.delta?.content ?? choice?.delta?.refusal ?? '';
      finish = (choice?.finish_reason as string | null | undefined) ?? finish;
      model = chunk.model || model;
      usage = { ...usage, ...readUsage(chunk) };
    }
    if (limit.aborted) throw new APIConnectionTimeoutError();
    if (finish === undefined) throw new StrangeReply('a stream that ended before the reply did');
    this.#checkModel(model);
    return { text, finish, model, ...usage };
  }

  #checkModel(model: string): void {
    if (this.#settings.replyModel === 'any' || sameModel(this.model, model)) return;
    throw new OtherModel(
      `answered as model "${model}" though "${this.model}" was asked; name the model as the server does, or, ` +
        'if this is the right one under another name, set llmReplyModel to any',
    );
  }

  #explain(error: unknown): RemoteError {
    if (error instanceof RemoteError) return error;
    if (error instanceof APIConnectionTimeoutError || (error as Error)?.name === 'TimeoutError') {
      return this.#error(`gave no answer within ${this.#settings.timeout} s`, 'overloaded', { cause: error });
    }
    if (error instanceof APIUserAbortError) return this.#error('was interrupted', 'failed', { cause: error });
    if (error instanceof APIConnectionError) return this.#interruption(error);
    if (error instanceof APIError && error.status !== undefined)
      return this.#refusal(error as APIError<number, Headers>);
    // What is left are replies that could not be read: cut off, not JSON, or without an answer in them.
    this.#strange += 1;
    const isFinal = !this.#isKnown && this.#strange >= STRANGE;
    const failure = isFinal ? 'refused' : 'failed';
    if (error instanceof OtherModel) return this.#error(error.message, failure);
    const remedy = isFinal ? '; check llmBaseUrl, which often ends in /v1' : '';
    return this.#error(`answered, but not with a chat completion: ${this.#shown(error)}${remedy}`, failure);
  }

  #interruption(error: APIConnectionError): RemoteError {
    const causes: Error[] = [];
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) causes.push(cause);
    const codes = causes.map(({ code }: { code?: unknown } & Error) => code).filter((one) => typeof one === 'string');
    const code = codes.at(-1) ?? '';
    if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/.test(code)) {
      const problem = `cannot be reached (${code}); check llmBaseUrl, and that the server runs`;
      return this.#error(problem, 'unreachable', { cause: error });
    }
    return this.#error(`broke the connection off (${code || shown(causes.at(-1))})`, 'failed', { cause: error });
  }

  #refusal(error: APIError<number, Headers>): RemoteError {
    const { status, headers } = error;
    const wait = headers && retryAfter(headers);
    // OpenAI and others say 429 for an empty account too, which no waiting fills.
    const isEmpty = status === 402 || error.code === 'insufficient_quota';
    const isOverload = !isEmpty && [408, 425, 429, 503, 529].includes(status);
    const failure = isOverload ? 'overloaded' : status >= 500 ? 'failed' : 'refused';
    const remedy = REMEDIES[isEmpty ? 402 : status];
    // The client puts the status before the server's own words.
    const said = this.#shown(error).replace(/^\d{3} /, '');
    const problem = `answered ${status} for model "${this.model}"${remedy ? ` (${remedy})` : ''}: ${said}`;
    return this.#error(problem, failure, { status, retryAfter: wait });
  }

  /**
   * What a server said, as one short line. The key is put out before it is cut, lest a part of it be left at the end;
   * for the same reason errors that hold a server's words are nobody's cause.
   */
  #shown(error: unknown): string {
    const said = error instanceof StrangeReply ? error.said : (error as Error).message;
    return shown(withoutKey(said, this.#key));
  }

  #error(problem: string, failure: RemoteFailure, details: Omit<RemoteDetails, 'failure'> = {}) {
    return new RemoteError(this.address, `${withoutKey(problem, this.#key).replace(/\.$/, '')}.`, {
      failure,
      ...details,
    });
  }
}

/** A reply of another model than was asked. */
class OtherModel extends Error {}

/**
 * Whether two names may mean the same model: one is part of the other, as with dates ("gpt-4o-mini-2024-07-18") and
 * owners ("openai/gpt-4o-mini").
 */
export function sameModel(asked: string, answered: string): boolean {
  const [a, b] = [asked.toLowerCase(), answered.toLowerCase()];
  return a.includes(b) || b.includes(a);
}

/** The variable that holds an endpoint's key. OpenAI's key goes to nobody else by itself. */
function keyVariable({ keyEnv, baseUrl }: SettledEndpoint): string | undefined {
  return keyEnv ?? (baseUrl === undefined ? 'OPENAI_API_KEY' : undefined);
}

/** @throws ListwiseError INVALID_ARGUMENT naming the variable that is not set */
export function keyOf(endpoint: SettledEndpoint): string | undefined {
  const variable = keyVariable(endpoint);
  if (variable === undefined) return undefined;
  const key = process.env[variable]?.trim();
  if (key) return key;
  const remedy = 'export it, or name another variable by llmKeyEnv';
  const problem = `Expected a key in the environment variable ${variable} but it is not set; ${remedy}.`;
  throw new ListwiseError('INVALID_ARGUMENT', problem);
}

/** Before long work: whether all keys are there. @throws ListwiseError INVALID_ARGUMENT */
export function checkKeys({ endpoints }: SettledLlm): void {
  for (const endpoint of endpoints) if (endpoint.gguf === undefined) keyOf(endpoint);
}

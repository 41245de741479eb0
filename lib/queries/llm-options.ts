import { InvalidArgumentError, ListwiseError } from '../errors.js';
import type { Json } from '../hashes.js';
import { checkKeyVariable } from '../http/key.js';
import { settlePacing } from '../http/pacer.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { ExtraBody } from './request.js';

/** A language model of the pool: a server that speaks OpenAI's chat completions, or a GGUF file. */
export interface LlmEndpoint {
  /** The model's name, as the server knows it. */
  model?: string;
  /** Where the API is, such as http://localhost:8000/v1. OpenAI's own by default. */
  baseUrl?: string;
  /** The environment variable with the key. OPENAI_API_KEY for OpenAI's own address, else none is sent. */
  keyEnv?: string;
  /** Further fields of each request's body; null takes a field out that would be there. */
  body?: ExtraBody;
  /** A model file for node-llama-cpp, in the place of a server. */
  gguf?: string;
  /** Most requests at a time; fewer while the server is overloaded. Default 16, for a GGUF file 1. */
  concurrency?: number;
  /** Default no limit. */
  requestsPerMinute?: number;
  /** Prompt and new tokens. Default no limit. */
  tokensPerMinute?: number;
  /** Price of a million prompt tokens. */
  inputPrice?: number;
  /** Price of a million new tokens. */
  outputPrice?: number;
}

/** Which language model writes queries, how it is asked, and what that may cost. */
export interface LlmOptions {
  /** See LlmEndpoint: these are for the only endpoint, and the defaults of `llmEndpoints`. */
  llmModel?: string;
  llmBaseUrl?: string;
  llmKeyEnv?: string;
  llmBody?: ExtraBody;
  llmGguf?: string;
  llmConcurrency?: number;
  llmRequestsPerMinute?: number;
  llmTokensPerMinute?: number;
  llmInputPrice?: number;
  llmOutputPrice?: number;
  /** Several endpoints, which share the work. Where their models differ, a seeded draw decides who writes a query. */
  llmEndpoints?: readonly LlmEndpoint[];
  /** Of sampling. Default 0.8. */
  llmTemperature?: number;
  /** Most new tokens of a reply. Default 50. */
  llmNewTokens?: number;
  /** Seconds after which a request is given up and tried again. Default 120. */
  llmTimeout?: number;
  /** How often a request is tried again after a fault of the server. Default 10. */
  llmRetries?: number;
  /** Seconds before the first retry; doubled for each further one up to 30. Default 0.5. */
  llmBackoff?: number;
  /** Whether replies are read as they are written, for servers that answer in no other way. Default false. */
  llmStream?: boolean;
  /**
   * 'same', the default: a reply that says it comes from another model than was asked counts as a fault of the server.
   * 'any': names are not compared, for servers that know their models by aliases.
   */
  llmReplyModel?: 'same' | 'any';
  /** Budget, in the currency of the prices, over all sessions. No request begins that might go over it. */
  llmMaxCost?: number;
  /** Budget of prompt and new tokens together, over all sessions. */
  llmMaxTotalTokens?: number;
  /** Budget of requests that are answered, over all sessions. */
  llmMaxRequests?: number;
}

export const llmOptionNames: readonly (keyof LlmOptions)[] = [
  ...(['llmModel', 'llmBaseUrl', 'llmKeyEnv', 'llmBody', 'llmGguf', 'llmConcurrency', 'llmRequestsPerMinute'] as const),
  ...(['llmTokensPerMinute', 'llmInputPrice', 'llmOutputPrice', 'llmEndpoints', 'llmTemperature'] as const),
  ...(['llmNewTokens', 'llmTimeout', 'llmRetries', 'llmBackoff', 'llmStream', 'llmReplyModel'] as const),
  ...(['llmMaxCost', 'llmMaxTotalTokens', 'llmMaxRequests'] as const),
];

/** An endpoint with all that is needed to ask it. */
export interface SettledEndpoint extends LlmEndpoint {
  model: string;
  body: ExtraBody;
  concurrency: number;
}

export interface SettledLlm {
  endpoints: SettledEndpoint[];
  temperature: number;
  maxNewTokens: number;
  /** Seconds. */
  timeout: number;
  retries: number;
  backoff: number;
  stream: boolean;
  replyModel: 'same' | 'any';
  maxCost?: number;
  maxTotalTokens?: number;
  maxRequests?: number;
}

const ENDPOINT_FIELDS = [
  ...(['model', 'baseUrl', 'keyEnv', 'body', 'gguf', 'concurrency'] as const),
  ...(['requestsPerMinute', 'tokensPerMinute', 'inputPrice', 'outputPrice'] as const),
];

/** Whether options name a language model at all. */
export function namesLlm({ llmModel, llmGguf, llmEndpoints }: LlmOptions): boolean {
  return llmModel !== undefined || llmGguf !== undefined || llmEndpoints !== undefined;
}

/** @throws InvalidArgumentError naming the option that cannot be */
export function settleLlmOptions(options: LlmOptions): SettledLlm {
  const { llmTemperature: temperature = 0.8, llmNewTokens: maxNewTokens = 50, llmTimeout: timeout = 120 } = options;
  const { llmRetries: retries = 10, llmBackoff: backoff = 0.5, llmStream: stream = false } = options;
  const { llmReplyModel: replyModel = 'same' } = options;
  check('llmTemperature', temperature, 'a number from 0 to 2', temperature >= 0 && temperature <= 2);
  check('llmNewTokens', maxNewTokens, 'a whole number above 0', Number.isInteger(maxNewTokens) && maxNewTokens > 0);
  check('llmTimeout', timeout, 'seconds above 0 and up to 86400', timeout > 0 && timeout <= 86_400);
  check('llmRetries', retries, 'a whole number from 0', Number.isInteger(retries) && retries >= 0);
  check('llmBackoff', backoff, 'seconds from 0 to 60', backoff >= 0 && backoff <= 60);
  check('llmStream', stream, 'true or false', typeof stream === 'boolean');
  check('llmReplyModel', replyModel, "'same' or 'any'", replyModel === 'same' || replyModel === 'any');
  const endpoints = settleEndpoints(options);
  const { llmMaxCost: maxCost, llmMaxTotalTokens: maxTotalTokens, llmMaxRequests: maxRequests } = options;
  for (const [name, value] of Object.entries({
    llmMaxCost: maxCost,
    llmMaxTotalTokens: maxTotalTokens,
    llmMaxRequests: maxRequests,
  })) {
    check(name, value, 'a number above 0, or none for no limit', value === undefined || value > 0);
  }
  const unpriced = endpoints.find(
    ({ inputPrice, outputPrice, gguf }) => !gguf && (inputPrice ?? outputPrice) === undefined,
  );
  if (maxCost !== undefined && unpriced) {
    const expected = `llmInputPrice and llmOutputPrice of ${unpriced.model}`;
    throw new InvalidArgumentError('llmMaxCost', `a budget together with ${expected}`, 'no prices');
  }
  const asking = { temperature, maxNewTokens, timeout, retries, backoff, stream, replyModel };
  return { endpoints, ...asking, maxCost, maxTotalTokens, maxRequests };
}

function settleEndpoints(options: LlmOptions): SettledEndpoint[] {
  const common: LlmEndpoint = {
    ...{ model: options.llmModel, baseUrl: options.llmBaseUrl, keyEnv: options.llmKeyEnv, body: options.llmBody },
    ...{ gguf: options.llmGguf, concurrency: options.llmConcurrency, inputPrice: options.llmInputPrice },
    ...{ outputPrice: options.llmOutputPrice, requestsPerMinute: options.llmRequestsPerMinute },
    tokensPerMinute: options.llmTokensPerMinute,
  };
  const { llmEndpoints } = options;
  if (llmEndpoints === undefined) return [settleEndpoint(common, 'llm')];
  if (!Array.isArray(llmEndpoints) || llmEndpoints.length === 0) {
    throw new InvalidArgumentError('llmEndpoints', 'a list of at least one {baseUrl, model, ...}', llmEndpoints);
  }
  return llmEndpoints.map((endpoint: LlmEndpoint, place) => {
    const where = `llmEndpoints ${place + 1}`;
    rejectUnknownOptions(endpoint, ENDPOINT_FIELDS, where);
    const set = Object.fromEntries(Object.entries(endpoint).filter(([, value]) => value !== undefined));
    return settleEndpoint({ ...common, ...set }, where);
  });
}

/** @param where 'llm' for the flat options, which are named llmModel and so on, else the entry of the list */
function settleEndpoint(endpoint: LlmEndpoint, where: string): SettledEndpoint {
  const named = (field: string) =>
    where === 'llm' ? `llm${field[0]!.toUpperCase()}${field.slice(1)}` : `${field} of ${where}`;
  const { gguf, baseUrl, keyEnv, body = {}, inputPrice, outputPrice } = endpoint;
  const isText = (value: unknown) => typeof value === 'string' && value.trim() !== '';
  check(named('gguf'), gguf, 'the path of a GGUF file', gguf === undefined || isText(gguf));
  const { model = gguf } = endpoint;
  check(named('model'), model, 'the name of a model as the server knows it', isText(model));
  checkUrl(named('baseUrl'), baseUrl);
  checkKeyVariable(keyEnv, named('keyEnv'));
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
  check(named('body'), body, 'an object of further fields of the request', isObject);
  for (const field of ['model', 'messages', 'stream']) {
    if (field in body)
      throw new InvalidArgumentError(named('body'), `no field "${field}", which is set elsewhere`, body[field]);
  }
  for (const [field, price] of Object.entries({ inputPrice, outputPrice })) {
    check(
      named(field),
      price,
      'the price of a million tokens',
      price === undefined || (Number.isFinite(price) && price >= 0),
    );
  }
  const { concurrency = gguf ? 1 : 16, requestsPerMinute, tokensPerMinute } = endpoint;
  settlePacing({ concurrency, requestsPerMinute, tokensPerMinute });
  return { ...endpoint, model: model!, body, concurrency };
}

function checkUrl(name: string, url: unknown): void {
  if (url === undefined) return;
  const parsed = typeof url === 'string' && URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol)) {
    throw new InvalidArgumentError(name, 'an address that begins with http:// or https://', url);
  }
  if (parsed.username || parsed.password) {
    const remedy = 'put the key in an environment variable and name that by llmKeyEnv';
    throw new ListwiseError(
      'INVALID_ARGUMENT',
      `Expected an address without user and password for ${name}; ${remedy}.`,
    );
  }
}

function check(name: string, value: unknown, expected: string, holds: boolean): void {
  if (!holds) throw new InvalidArgumentError(name, expected, value);
}

/** What decides replies, for hashes and manifests: models and sampling, without addresses, keys, pace and prices. */
export function llmIdentity({ endpoints, temperature, maxNewTokens }: SettledLlm): Json {
  return { models: askedModels(endpoints), temperature, maxNewTokens };
}

/** The distinct models of a pool with what their requests carry, in the order of their first endpoints. */
export function askedModels(endpoints: readonly SettledEndpoint[]): { name: string; body: ExtraBody }[] {
  const models = new Map<string, { name: string; body: ExtraBody }>();
  for (const { model, body } of endpoints) if (!models.has(model)) models.set(model, { name: model, body });
  return [...models.values()];
}

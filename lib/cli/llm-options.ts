import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { DataError, InvalidArgumentError, NotFoundError } from '../errors.js';
import type { LlmEndpoint } from '../queries/llm-options.js';
import type { ExtraBody } from '../queries/request.js';
import type { QueryEstimate } from '../queries/writing.js';
import type { OptionSpec } from './command.js';

/** Which queries are written, and what counts as one; `queries` and `specialize` share it. */
export const writingOptions: readonly OptionSpec[] = [
  {
    name: 'queryTypes',
    kind: 'texts',
    value: 'name|file',
    help: 'types of queries, by name, file or directory (default: question claim title keywords web random)',
  },
  { name: 'queriesPerPassage', kind: 'whole', value: 'count', help: 'of each type for each passage (default: 1)' },
  { name: 'language', kind: 'text', value: 'name', help: "of the queries, such as German (default: the passage's)" },
  {
    name: 'exampleQueries',
    kind: 'text',
    value: 'path',
    help: 'your own queries as examples: JSON Lines, .txt, or a BEIR directory with training judgements',
  },
  { name: 'maxQueryWords', kind: 'whole', value: 'words', help: 'longer queries are not used (default: 20)' },
  { name: 'maxCopiedWords', kind: 'whole', value: 'words', help: 'longest run copied from the passage (default: 8)' },
  {
    name: 'replyAttempts',
    kind: 'whole',
    value: 'count',
    help: 'replies without a query until it failed (default: 3)',
  },
  { name: 'retryFailed', kind: 'flag', help: 'ask again for queries that failed before' },
];

/** Which language model writes, how it is asked, and what it may cost. */
export const llmOptions: readonly OptionSpec[] = [
  { name: 'llmModel', kind: 'text', value: 'name', help: 'the model, as its server knows it' },
  {
    name: 'llmBaseUrl',
    kind: 'text',
    value: 'url',
    help: "of an OpenAI-compatible API, such as http://localhost:8000/v1 (default: OpenAI's)",
  },
  {
    name: 'llmKeyEnv',
    kind: 'text',
    value: 'variable',
    help: "environment variable with the key (default: OPENAI_API_KEY for OpenAI's address, else no key is sent)",
  },
  { name: 'llmGguf', kind: 'text', value: 'file', help: 'a model file for node-llama-cpp, in the place of a server' },
  {
    name: 'llmEndpoints',
    kind: 'text',
    value: 'file',
    orApiValue: 'array',
    help: 'several endpoints: a YAML or JSON list of {baseUrl, model, keyEnv, ...}',
  },
  {
    name: 'llmBody',
    kind: 'text',
    value: 'json',
    orApiValue: 'object',
    help: 'further fields of each request, as JSON; null takes a field out',
  },
  { name: 'llmTemperature', kind: 'number', value: 'number', help: 'of sampling (default: 0.8)' },
  { name: 'llmNewTokens', kind: 'whole', value: 'tokens', help: 'most new tokens of a reply (default: 50)' },
  { name: 'llmStream', kind: 'flag', help: 'read replies as they are written' },
  {
    name: 'llmReplyModel',
    kind: 'text',
    choices: ['same', 'any'],
    help: 'whether a reply must name the model that was asked (default: same)',
  },
  { name: 'llmConcurrency', kind: 'whole', value: 'count', help: 'most requests at a time (default: 16; GGUF: 1)' },
  { name: 'llmRequestsPerMinute', kind: 'number', value: 'count', help: 'limit of the service (default: none)' },
  { name: 'llmTokensPerMinute', kind: 'number', value: 'count', help: 'limit of the service (default: none)' },
  {
    name: 'llmTimeout',
    kind: 'number',
    value: 'seconds',
    help: 'until a request is given up and tried again (default: 120)',
  },
  { name: 'llmRetries', kind: 'whole', value: 'count', help: 'of a request after faults of the server (default: 10)' },
  { name: 'llmBackoff', kind: 'number', value: 'seconds', help: 'before the first retry, then doubled (default: 0.5)' },
  { name: 'llmInputPrice', kind: 'number', value: 'price', help: 'of a million prompt tokens' },
  { name: 'llmOutputPrice', kind: 'number', value: 'price', help: 'of a million new tokens' },
  { name: 'llmMaxCost', kind: 'number', value: 'price', help: 'budget, over all sessions (default: none)' },
  { name: 'llmMaxTotalTokens', kind: 'whole', value: 'tokens', help: 'budget, over all sessions (default: none)' },
  { name: 'llmMaxRequests', kind: 'whole', value: 'count', help: 'budget, over all sessions (default: none)' },
];

/** Of specialize alone, which goes on to use the queries. */
export const whenSpentOption: OptionSpec = {
  name: 'llmWhenSpent',
  kind: 'text',
  choices: ['stop', 'use'],
  help: 'when the budget is used up: stop, to go on when it is raised, or use what there is (default: stop)',
};

/**
 * What the command line writes as text and the API takes as values: llmBody as JSON, llmEndpoints as a file.
 * @throws InvalidArgumentError, NotFoundError, DataError
 */
export async function llmValues(
  options: Record<string, unknown>,
): Promise<{ llmBody?: ExtraBody; llmEndpoints?: LlmEndpoint[] }> {
  const { llmBody, llmEndpoints } = options;
  return {
    ...(typeof llmBody === 'string' && { llmBody: parseBody(llmBody) }),
    ...(typeof llmEndpoints === 'string' && { llmEndpoints: await readEndpoints(llmEndpoints) }),
  };
}

function parseBody(text: string): ExtraBody {
  try {
    return JSON.parse(text) as ExtraBody;
  } catch (error) {
    const remedy = `the parser says: ${(error as Error).message}`;
    throw new InvalidArgumentError('llmBody', 'a JSON object such as {"top_p": 0.9}', text, remedy);
  }
}

async function readEndpoints(file: string): Promise<LlmEndpoint[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new NotFoundError(`Expected a YAML or JSON list of endpoints at ${file} but it cannot be read.`, { cause });
  });
  try {
    return parse(text) as LlmEndpoint[];
  } catch (cause) {
    throw new DataError({ file }, `Expected YAML or JSON but the parser says: ${(cause as Error).message}`, { cause });
  }
}

/** How much is to be asked, for people. */
export function estimateInWords(estimate: QueryEstimate): string {
  const { queries, answered, failed, requests, promptTokens, newTokens, cost, spent } = estimate;
  const there = [answered && `${count(answered)} are there`, failed && `${count(failed)} failed before`].filter(
    Boolean,
  );
  const beside = there.length > 0 ? ` (${there.join(', ')})` : '';
  const price = cost === undefined ? '' : `, at most ${money(cost)}`;
  const before = spent.cost ? `; ${money(spent.cost)} were spent before` : '';
  return (
    `queries: ${count(queries)} to be written${beside}; ${count(requests)} requests with about ` +
    `${count(promptTokens)} prompt tokens and at most ${count(newTokens)} new ones${price}${before}`
  );
}

/** With separators of thousands. */
export function count(value: number): string {
  return value.toLocaleString('en');
}

/** In the currency of the prices, which nobody told. */
export function money(value: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: value < 1 ? 4 : 2 });
}

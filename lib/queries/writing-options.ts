import { InvalidArgumentError } from '../errors.js';
import { type LlmOptions, llmOptionNames, type SettledLlm, settleLlmOptions } from './llm-options.js';
import { DEFAULT_TYPES, USER_TYPE } from './query-type.js';
import type { ReplyLimits } from './reply-check.js';

/** Which queries a language model writes, and what counts as one. */
export interface QueryWritingOptions extends LlmOptions {
  /**
   * Types of queries: names of those that come with listwise, files, or directories of files. Default question, claim,
   * title, keywords, web and random, and user beside them where there are example queries.
   */
  queryTypes?: readonly string[];
  /** Queries of each type for each passage. Default 1. */
  queriesPerPassage?: number;
  /** In which language queries are written, such as German. Default the passage's. */
  language?: string;
  /** The user's own queries, as examples for prompts: see readExampleQueries. */
  exampleQueries?: string;
  /** Longer queries are not used. Default 20. */
  maxQueryWords?: number;
  /** Queries with a longer run of words of their passage are not used. Default 8. */
  maxCopiedWords?: number;
  /** Replies without a usable query after which the query counts as failed. Default 3. */
  replyAttempts?: number;
  /** Whether queries that failed in an earlier session are asked for again. Default false. */
  retryFailed?: boolean;
  /**
   * What specialize does when the budget is used up: 'stop', the default, so that a raised budget goes on; or 'use' the
   * queries there are.
   */
  llmWhenSpent?: 'stop' | 'use';
}

export const queryWritingOptionNames: readonly (keyof QueryWritingOptions)[] = [
  ...(['queryTypes', 'queriesPerPassage', 'language', 'exampleQueries', 'maxQueryWords', 'maxCopiedWords'] as const),
  ...(['replyAttempts', 'retryFailed', 'llmWhenSpent'] as const),
  ...llmOptionNames,
];

export interface SettledWriting {
  llm: SettledLlm;
  queryTypes: readonly string[];
  queriesPerPassage: number;
  language?: string;
  exampleQueries?: string;
  limits: ReplyLimits;
  replyAttempts: number;
  retryFailed: boolean;
  whenSpent: 'stop' | 'use';
}

/** @throws InvalidArgumentError naming the option that cannot be */
export function settleWritingOptions(options: QueryWritingOptions): SettledWriting {
  const { exampleQueries, language, queriesPerPassage = 1, retryFailed = false } = options;
  const { llmWhenSpent: whenSpent = 'stop' } = options;
  const { maxQueryWords: maxWords = 20, maxCopiedWords = 8, replyAttempts = 3 } = options;
  const { queryTypes = exampleQueries === undefined ? DEFAULT_TYPES : [...DEFAULT_TYPES, USER_TYPE] } = options;
  const counts = { queriesPerPassage, maxQueryWords: maxWords, maxCopiedWords, replyAttempts };
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError(name, 'a whole number above 0', value);
  }
  const isText = (value: unknown) => typeof value === 'string' && value.trim() !== '';
  if (!Array.isArray(queryTypes) || queryTypes.length === 0 || !queryTypes.every(isText)) {
    throw new InvalidArgumentError('queryTypes', 'a list of names or files of query types', queryTypes);
  }
  for (const [name, value] of Object.entries({ language, exampleQueries })) {
    if (value !== undefined && !isText(value)) throw new InvalidArgumentError(name, 'a text that is not empty', value);
  }
  if (typeof retryFailed !== 'boolean') throw new InvalidArgumentError('retryFailed', 'true or false', retryFailed);
  if (whenSpent !== 'stop' && whenSpent !== 'use') {
    throw new InvalidArgumentError('llmWhenSpent', "'stop' or 'use'", whenSpent);
  }
  const llm = settleLlmOptions(options);
  const limits = { maxWords, maxCopiedWords };
  return {
    llm,
    queryTypes,
    queriesPerPassage,
    language,
    exampleQueries,
    limits,
    replyAttempts,
    retryFailed,
    whenSpent,
  };
}

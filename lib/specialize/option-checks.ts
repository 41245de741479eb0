import { resolve } from 'node:path';
import { parseRetrievers } from '../candidates/retrievers.js';
import { checkCorpusSource } from '../corpus/corpus.js';
import { checkExclusion } from '../corpus/exclusion.js';
import { InvalidArgumentError, ListwiseError } from '../errors.js';
import { namesLlm } from '../queries/llm-options.js';
import { queryWritingOptionNames, type SettledWriting, settleWritingOptions } from '../queries/writing-options.js';
import type { SettledOptions } from './options.js';
import { STAGES, upTo } from './stages.js';

/** @returns undefined where no language model is named; then none of its options may be there either */
export function settleWriting(options: SettledOptions): SettledWriting | undefined {
  if (namesLlm(options)) return settleWritingOptions(options);
  const idle = queryWritingOptionNames.find((name) => options[name] !== undefined);
  if (idle === undefined) return undefined;
  const remedy = 'give llmModel, llmGguf or llmEndpoints';
  throw new ListwiseError('INVALID_ARGUMENT', `${idle} is for a language model, and none is named; ${remedy}.`);
}

/** @throws InvalidArgumentError for a path that is none, or queries that are not named or would be tested on */
export function checkPlaces(options: SettledOptions): void {
  for (const name of ['model', 'queries', 'humanQueries', 'output', 'data'] as const) {
    const value: unknown = options[name];
    if (value === undefined && name !== 'model' && name !== 'output') continue;
    if (typeof value !== 'string' || value === '')
      throw new InvalidArgumentError(name, 'a path that is not empty', value);
  }
  checkCorpusSource(options.corpus);
  checkExclusion(options);
  checkQueries(options);
}

function checkQueries(options: SettledOptions): void {
  const { queries, humanQueries, humanSplit, data, split } = options;
  if (queries === undefined && humanQueries === undefined && !namesLlm(options)) {
    const expected =
      'a file of written queries, or humanQueries, or a language model (llmModel, llmGguf, llmEndpoints),';
    throw new InvalidArgumentError('queries', expected, undefined);
  }
  if (typeof humanSplit !== 'string' || humanSplit === '') {
    throw new InvalidArgumentError('humanSplit', 'the name of a split', humanSplit);
  }
  if (humanQueries === undefined || data === undefined) return;
  if (resolve(humanQueries) !== resolve(data) || humanSplit !== split) return;
  const remedy = 'the model would be tested on what it was trained on';
  throw new InvalidArgumentError('humanSplit', 'another split than the one that it is tested on', humanSplit, remedy);
}

/** @throws InvalidArgumentError for a count below 1 */
export function checkCounts(options: SettledOptions): void {
  for (const name of ['maxPassages', 'depth', 'k'] as const) {
    if (!Number.isInteger(options[name]) || options[name] < 1) {
      throw new InvalidArgumentError(name, 'a whole number above 0', options[name]);
    }
  }
}

/** Whether the run compares its models on the dev lists, for want of a test set. */
export function isEvaluatedOnDev({ data, until }: Pick<SettledOptions, 'data' | 'until'>): boolean {
  return data === undefined && upTo(until).includes('evaluation');
}

/** @throws InvalidArgumentError for a choice that there is not, or that needs another option */
export function checkChoices(options: SettledOptions): void {
  const { retrievers, embeddingsType, until, excludeJudged, data, devShare } = options;
  parseRetrievers(retrievers);
  if (embeddingsType !== 'fp32' && embeddingsType !== 'bf16') {
    throw new InvalidArgumentError('embeddingsType', "'fp32' or 'bf16'", embeddingsType);
  }
  if (!STAGES.includes(until)) throw new InvalidArgumentError('until', `one of ${STAGES.join(', ')}`, until);
  if (devShare === 0 && isEvaluatedOnDev(options)) {
    throw new InvalidArgumentError('data', 'a test set where devShare is 0,', undefined);
  }
  if (excludeJudged && data === undefined) {
    throw new InvalidArgumentError('data', 'a test set where excludeJudged is true', undefined);
  }
}

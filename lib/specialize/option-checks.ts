import { resolve } from 'node:path';
import { parseRetrievers } from '../candidates/retrievers.js';
import { checkCorpusSource } from '../corpus/corpus.js';
import { checkExclusion } from '../corpus/exclusion.js';
import { InvalidArgumentError, ListwiseError } from '../errors.js';
import { type OptionNeed, rejectIdleOptions } from '../option-names.js';
import { namesLlm } from '../queries/llm-options.js';
import { queryWritingOptionNames, type SettledWriting, settleWritingOptions } from '../queries/writing-options.js';
import { membersOf, settleTeacher } from '../teachers/choice.js';
import { DEV_DATA_NEED } from '../training/options.js';
import type { SettledOptions, SpecializeOptions } from './options.js';
import { STAGES, upTo } from './stages.js';

/** Options without effect where another is not there. `temperatureLists` is none: the teacher doctor reads it always. */
const NEEDS: readonly OptionNeed<SpecializeOptions>[] = [
  { options: ['split', 'by'], needs: 'a test set (data)', isThere: ({ data }) => data !== undefined },
  {
    options: ['humanSplit'],
    needs: 'queries of people (humanQueries)',
    isThere: ({ humanQueries }) => humanQueries !== undefined,
  },
  {
    options: ['guardLoss'],
    needs: 'guard sets (guards)',
    // What is no array is refused as such.
    isThere: ({ guards = [] }) => !Array.isArray(guards) || guards.length > 0,
  },
  { options: ['denseWeight', 'bm25Weight'], needs: 'the fused teacher (teacher)', isThere: usesFused },
  {
    options: ['bm25K1', 'bm25B', 'bm25Delta', 'bm25Analysis'],
    needs: 'the fused teacher (teacher) or bm25 among the retrievers',
    isThere: (options) => usesFused(options) || options.retrievers?.includes('bm25') === true,
  },
  DEV_DATA_NEED,
];

function usesFused({ teacher = 'fused' }: SpecializeOptions): boolean {
  return membersOf(settleTeacher(teacher)).some((member) => member.teacher.kind === 'fused');
}

/** @param given without defaults @throws InvalidArgumentError for an option that another one, not given, is needed for */
export function checkNeeds(given: SpecializeOptions): void {
  rejectIdleOptions(given, NEEDS);
}

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
  const { queries, humanQueries, humanSplit } = options;
  if (queries === undefined && humanQueries === undefined && !namesLlm(options)) {
    const expected =
      'a file of written queries, or humanQueries, or a language model (llmModel, llmGguf, llmEndpoints),';
    throw new InvalidArgumentError('queries', expected, undefined);
  }
  if (typeof humanSplit !== 'string' || humanSplit === '') {
    throw new InvalidArgumentError('humanSplit', 'the name of a split', humanSplit);
  }
  checkApart(options);
}

/** @throws InvalidArgumentError where judgements that train or choose the model are those that it is tested on */
function checkApart({ humanQueries, humanSplit, data, split, devData, devSplit = 'dev' }: SettledOptions): void {
  const isSame = (one: string | undefined, other: string | undefined, splits: [string, string]) =>
    typeof one === 'string' && typeof other === 'string' && resolve(one) === resolve(other) && splits[0] === splits[1];
  if (isSame(humanQueries, data, [humanSplit, split])) {
    const remedy = 'the model would be tested on what it was trained on';
    throw new InvalidArgumentError('humanSplit', 'another split than the one that it is tested on', humanSplit, remedy);
  }
  if (isSame(devData, data, [devSplit, split])) {
    const remedy = 'the test is worth nothing on queries that training was watched by';
    throw new InvalidArgumentError('devSplit', 'another split than the one that it is tested on', devSplit, remedy);
  }
  if (isSame(devData, humanQueries, [devSplit, humanSplit])) {
    const remedy = 'queries that the model is trained on say nothing of how it does on others';
    throw new InvalidArgumentError('devSplit', 'another split than the one that it is trained on', devSplit, remedy);
  }
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

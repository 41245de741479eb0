import { InvalidArgumentError, ListwiseError } from '../errors.js';
import { checkEndpoint } from '../http/endpoint.js';
import { rejectUnknownOptions } from '../option-names.js';
import { checkBudget } from './budget.js';
import { type CrossEncoderChoice, checkCrossEncoderChoice } from './cross-encoder.js';
import type { JudgeChoice } from './judge.js';
import { RERANKERS, type RerankChoice, type RerankKind } from './rerank.js';

/** Dense and BM25 scores of the corpus; its weights are options of the pipeline. */
export interface FusedChoice {
  kind: 'fused';
}

/** Scores from a file: JSON Lines of {"query", "passage", "score"}, or a TREC run. */
export interface FileChoice {
  kind: 'file';
  scores: string;
}

export type SingleChoice = FusedChoice | FileChoice | CrossEncoderChoice | RerankChoice | JudgeChoice;

/** Several teachers as one: weighted means of their scores, each normalised first. */
export interface EnsembleChoice {
  kind: 'ensemble';
  members: { teacher: SingleChoice; weight: number }[];
}

/** A teacher as the stages know it, checked and with its kind. */
export type SettledTeacher = SingleChoice | EnsembleChoice;

/**
 * How a user names a teacher: a string (`fused`, a file of scores, or `kind:address#model` such as
 * `cross-encoder:BAAI/bge-reranker-base`, `tei:http://localhost:8080`, `vllm-score:http://localhost:8000#BAAI/bge-reranker-v2-m3`, `cohere:rerank-v3.5`,
 * `llm:http://localhost:8000/v1#Qwen/Qwen3-8B`), an object with the same and more options, or several of these: an
 * ensemble, in which `weight` (default 1) may stand beside `teacher`.
 */
export type TeacherChoice = TeacherName | readonly (TeacherName | { teacher: TeacherName; weight?: number })[];

/** One teacher, by a string or an object. */
export type TeacherName =
  | string
  | FusedChoice
  | (Omit<FileChoice, 'kind'> & { kind?: 'file' })
  | CrossEncoderChoice
  | RerankChoice
  | JudgeChoice;

const RERANK_KINDS = Object.keys(RERANKERS);
const KINDS = ['fused', 'file', 'cross-encoder', ...RERANK_KINDS, 'llm'];

const ENDPOINT_OPTIONS = [
  ...['url', 'model', 'keyVariable', 'keyHeader', 'timeout', 'concurrency', 'retries', 'backoff'],
  ...['requestsPerMinute', 'tokensPerMinute', 'maxRequests', 'maxPairs', 'maxTokens'],
];
const RERANK_OPTIONS = ['kind', ...ENDPOINT_OPTIONS, 'batchSize', 'maxLength'];
const JUDGE_OPTIONS = ['kind', ...ENDPOINT_OPTIONS, 'topGrade', 'prompt', 'logprobs', 'answerTokens', 'body'];

/**
 * Checks a teacher's options, before any work.
 * @param argument the option's name, for messages
 * @throws InvalidArgumentError or ListwiseError INVALID_ARGUMENT naming what cannot be
 */
export function settleTeacher(given: unknown, argument = 'teacher'): SettledTeacher {
  if (!Array.isArray(given)) return settleSingle(given, argument);
  if (given.length === 0) throw new InvalidArgumentError(argument, 'one or more teachers', given);
  const members = given.map((member, i) => settleMember(member, `${argument}[${i}]`));
  return members.length === 1 ? members[0]!.teacher : { kind: 'ensemble', members };
}

/** The single teachers of a choice, with their weights. */
export function membersOf(teacher: SettledTeacher): EnsembleChoice['members'] {
  return teacher.kind === 'ensemble' ? teacher.members : [{ teacher, weight: 1 }];
}

function settleMember(given: unknown, argument: string): EnsembleChoice['members'][number] {
  if (!isObject(given) || !('teacher' in given)) return { teacher: settleSingle(given, argument), weight: 1 };
  rejectUnknownOptions(given, ['teacher', 'weight'], argument);
  const { teacher, weight = 1 } = given;
  if (typeof weight !== 'number' || !(weight > 0 && Number.isFinite(weight))) {
    throw new InvalidArgumentError(`${argument}.weight`, 'a number above 0', weight);
  }
  return { teacher: settleSingle(teacher, `${argument}.teacher`), weight };
}

function settleSingle(given: unknown, argument: string): SingleChoice {
  const choice = typeof given === 'string' ? parseName(given, argument) : given;
  if (!isObject(choice)) throw new InvalidArgumentError(argument, `a teacher (${KINDS.join(', ')})`, given);
  const kind = choice.kind ?? ('scores' in choice ? 'file' : undefined);
  if (kind === 'fused') {
    rejectUnknownOptions(choice, ['kind'], argument);
    return { kind };
  }
  if (kind === 'file') return settleFile(choice, argument);
  if (kind === 'llm') return settleJudge(choice, argument);
  if (kind === 'cross-encoder') {
    within(argument, () => checkCrossEncoderChoice(choice, argument));
    return choice as unknown as CrossEncoderChoice;
  }
  if (RERANK_KINDS.includes(kind as string)) return settleReranker(choice, kind as RerankKind, argument);
  throw new InvalidArgumentError(`${argument}.kind`, `one of ${KINDS.join(', ')}`, kind);
}

const FILE_NAME = /[./\\]/;

/** 'kind:address#model', 'fused', or a file's name. */
function parseName(name: string, argument: string): Record<string, unknown> {
  if (name === 'fused') return { kind: 'fused' };
  const [, kind = '', rest = ''] = /^([a-z-]+):(.+)$/s.exec(name) ?? [];
  if (kind === 'file') return { kind, scores: rest };
  if (kind === 'cross-encoder') return { kind, model: rest };
  if (KINDS.includes(kind)) {
    const hash = rest.indexOf('#');
    if (/^https?:/.test(rest)) {
      return hash < 0 ? { kind, url: rest } : { kind, url: rest.slice(0, hash), model: rest.slice(hash + 1) };
    }
    if (RERANKERS[kind as RerankKind]?.url) return { kind, model: rest };
    const expected = `an address after "${kind}:", as in ${kind}:http://localhost:8000`;
    throw new InvalidArgumentError(argument, expected, name);
  }
  if (kind === '' && FILE_NAME.test(name)) return { kind: 'file', scores: name };
  const expected = `'fused', a file of scores, cross-encoder:MODEL, or kind:address#model with one of ${RERANK_KINDS.join(', ')}, llm as kind`;
  throw new InvalidArgumentError(argument, expected, name);
}

function settleFile(choice: Record<string, unknown>, argument: string): FileChoice {
  rejectUnknownOptions(choice, ['kind', 'scores'], argument);
  const { scores } = choice;
  if (typeof scores === 'string' && scores !== '') return { kind: 'file', scores };
  throw new InvalidArgumentError(`${argument}.scores`, 'the name of a file of scores', scores);
}

function settleReranker(choice: Record<string, unknown>, kind: RerankKind, argument: string): RerankChoice {
  rejectUnknownOptions(choice, RERANK_OPTIONS, argument);
  const settled = { ...choice, kind } as RerankChoice;
  const { url = RERANKERS[kind].url, model } = settled;
  if (url === undefined) throw new InvalidArgumentError(`${argument}.url`, "the server's address", url);
  if (RERANKERS[kind].needsModel) checkModel(model, argument, kind);
  if (settled.maxLength !== undefined && !RERANKERS[kind].cuts) {
    const expected = `nothing with kind ${kind}, whose server cuts pairs by its own settings,`;
    throw new InvalidArgumentError(`${argument}.maxLength`, expected, settled.maxLength);
  }
  checkWhole(settled, ['batchSize', 'maxLength'], argument);
  within(argument, () => checkEndpoint({ ...settled, url }));
  within(argument, () => checkBudget(settled));
  return settled;
}

function settleJudge(choice: Record<string, unknown>, argument: string): JudgeChoice {
  rejectUnknownOptions(choice, JUDGE_OPTIONS, argument);
  const settled = choice as unknown as JudgeChoice;
  const { model, topGrade = 3, prompt, body, logprobs } = settled;
  checkModel(model, argument, 'llm');
  if (!Number.isInteger(topGrade) || topGrade < 1 || topGrade > 9) {
    throw new InvalidArgumentError(`${argument}.topGrade`, 'a whole number from 1 to 9', topGrade);
  }
  if (prompt !== undefined && !(typeof prompt === 'string' && /\{query\}/.test(prompt) && /\{passage\}/.test(prompt))) {
    throw new InvalidArgumentError(`${argument}.prompt`, 'a text with {query} and {passage} in it', prompt);
  }
  if (body !== undefined && !isObject(body)) throw new InvalidArgumentError(`${argument}.body`, 'an object', body);
  if (logprobs !== undefined && typeof logprobs !== 'boolean') {
    throw new InvalidArgumentError(`${argument}.logprobs`, 'true or false', logprobs);
  }
  checkWhole(settled, ['answerTokens'], argument);
  within(argument, () => checkEndpoint(settled));
  within(argument, () => checkBudget(settled));
  return settled;
}

/** Lets messages of checks that are not the teacher's alone name the option as the user wrote it. */
function within(argument: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    const message = error.message.replace(` for ${error.argument} `, ` for ${argument}.${error.argument} `);
    throw new ListwiseError('INVALID_ARGUMENT', message);
  }
}

function checkModel(model: unknown, argument: string, kind: string): void {
  if (typeof model === 'string' && model !== '') return;
  const remedy = `name it as in ${kind}:address#model`;
  throw new InvalidArgumentError(`${argument}.model`, "the model's name", model, remedy);
}

function checkWhole<T extends object>(choice: T, names: readonly (keyof T & string)[], argument: string): void {
  for (const name of names) {
    const value: unknown = choice[name];
    if (value === undefined || (Number.isInteger(value) && (value as number) > 0)) continue;
    throw new InvalidArgumentError(`${argument}.${name}`, 'a whole number above 0', value);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

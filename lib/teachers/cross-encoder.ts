import { stat } from 'node:fs/promises';
import { CrossEncoder } from '../cross-encoder.js';
import { InvalidArgumentError } from '../errors.js';
import { hashModel, type Json } from '../hashes.js';
import { type CrossEncoderOptions, settleCrossEncoder } from '../models/cross-encoder.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { LongWork } from '../types.js';
import type { Teacher, TeacherRequest, TeacherScores, TeacherWork } from './teacher.js';

/** A cross-encoder that computes here. */
export interface CrossEncoderChoice
  extends Pick<CrossEncoderOptions, 'device' | 'precision' | 'revision' | 'maxLength' | 't5'> {
  kind: 'cross-encoder';
  /** A directory or a name on the Hub. Its `maxLength` is 512 by default, or the model's most if that is less. */
  model: string;
}

const OPTIONS = ['kind', 'model', 'device', 'precision', 'revision', 'maxLength', 't5'];

/** Pairs whose queries are scored together: enough to sort by length, few enough to lose little when stopped. */
const BATCH_PAIRS = 256;
const MAX_LENGTH = 512;

/** @throws InvalidArgumentError naming the option that cannot be */
export function checkCrossEncoderChoice(choice: Record<string, unknown>, argument: string): void {
  rejectUnknownOptions(choice, OPTIONS, argument);
  const { model, maxLength } = choice;
  if (typeof model !== 'string' || model === '') {
    const remedy = 'name it as in cross-encoder:BAAI/bge-reranker-base';
    throw new InvalidArgumentError('model', 'a directory or a name on the Hub', model, remedy);
  }
  if (maxLength === undefined || (Number.isInteger(maxLength) && (maxLength as number) > 0)) return;
  throw new InvalidArgumentError('maxLength', 'a whole number above 0', maxLength);
}

/** What decides its scores: the files of a model on this machine, or the name and revision of one on the Hub. */
export async function crossEncoderIdentity(
  { kind, model, revision, maxLength = MAX_LENGTH, t5, precision }: CrossEncoderChoice,
  { signal }: Pick<LongWork, 'signal'> = {},
): Promise<{ [name: string]: Json }> {
  const isLocal = await stat(model).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const weights: Record<string, Json> = isLocal
    ? { files: await hashModel(model, signal) }
    : { model, ...(revision !== undefined && { revision }) };
  return { kind, ...weights, maxLength, ...(t5 && { t5 }), ...(precision && { precision }) };
}

/** A cross-encoder as a teacher: its logits are the scores, for a sigmoid makes those of good candidates alike. */
export class CrossEncoderTeacher implements Teacher {
  readonly name: string;
  readonly #choice: CrossEncoderChoice;
  readonly #longest: number;
  #loaded: Promise<CrossEncoder> | undefined;

  private constructor(choice: CrossEncoderChoice, longest: number) {
    this.name = `cross-encoder ${choice.model}`;
    this.#choice = choice;
    this.#longest = longest;
  }

  /**
   * Checks the options and the model's files; its weights are loaded when it is first asked.
   * @throws as CrossEncoder.load does for a model that is not there or none
   */
  static async open(
    choice: CrossEncoderChoice,
    { signal }: Pick<LongWork, 'signal'> = {},
  ): Promise<CrossEncoderTeacher> {
    const { kind: _, model, ...options } = choice;
    const { directory } = await settleCrossEncoder(model, { ...options, signal }, 'teacher');
    return new CrossEncoderTeacher(choice, Math.min(directory.maxLength, MAX_LENGTH));
  }

  async *score(
    requests: Iterable<TeacherRequest> | AsyncIterable<TeacherRequest>,
    { signal }: TeacherWork = {},
  ): AsyncGenerator<TeacherScores> {
    let batch: TeacherRequest[] = [];
    let pairs = 0;
    for await (const request of requests) {
      batch.push(request);
      pairs += request.passages.length;
      if (pairs < BATCH_PAIRS) continue;
      yield* await this.#scoreBatch(batch, signal);
      [batch, pairs] = [[], 0];
    }
    if (batch.length > 0) yield* await this.#scoreBatch(batch, signal);
  }

  async #scoreBatch(batch: readonly TeacherRequest[], signal?: AbortSignal): Promise<TeacherScores[]> {
    const scorer = await this.#load(signal);
    const groups = batch.map(({ query, passages }) => ({
      query: query.text,
      passages: passages.map(({ text }) => text),
    }));
    const scores = await scorer.scoreFitting(groups, { signal });
    let place = 0;
    return batch.map(({ query, passages }) => {
      const scored = passages.map(({ id }) => ({ id, score: scores[place++]! }));
      // A query that leaves no room for a passage will not do so when it is asked again.
      const unscored = scored.filter(({ score }) => Number.isNaN(score)).map(({ id }) => id);
      const known = scored.filter(({ score }) => !Number.isNaN(score));
      return { query: query.id, passages: known, ...(unscored.length > 0 && { unscored }) };
    });
  }

  #load(signal?: AbortSignal): Promise<CrossEncoder> {
    const { kind: _, model, maxLength = this.#longest, ...options } = this.#choice;
    this.#loaded ??= CrossEncoder.load(model, { ...options, maxLength, activation: 'identity', signal });
    return this.#loaded;
  }

  async dispose(): Promise<void> {
    const loaded = await this.#loaded?.catch(() => undefined);
    this.#loaded = undefined;
    await loaded?.dispose();
  }
}

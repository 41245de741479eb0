import { passageText } from '../corpus/passage.js';
import type { PairGroup } from '../cross-encoder.js';
import { DataError, describe, InvalidArgumentError, ListwiseError } from '../errors.js';
import type { CrossEncoderOptions } from '../models/cross-encoder.js';
import { checkWhole } from '../search.js';
import type { LongWork, Progress, Query, Run, ScoredPassage } from '../types.js';
import type { JudgedCollection } from './collection.js';

/** What scores passages for a query: a CrossEncoder, or anything that scores like one. */
export interface PairScorer {
  /** A score a pair, groups' passages one after the other; higher is more relevant. */
  score(pairs: readonly PairGroup[], options?: LongWork): Promise<ArrayLike<number>>;
}

/** How a ranking is reranked. */
export interface Reranking {
  /** A cross-encoder's directory or Hub name, whose logits then decide; or one that is loaded. Default: no reranking. */
  rerank?: string | PairScorer;
  /** How many of each query's best passages are scored anew; those below stay below, as they were. Default 100. */
  rerankDepth?: number;
  /** Longest pair in tokens. Default 512, or the cross-encoder's most if that is less. */
  rerankMaxLength?: number;
}

/** Names of Reranking. */
export const rerankOptionNames: readonly string[] = [
  'rerank',
  'rerankDepth',
  'rerankMaxLength',
] satisfies (keyof Reranking)[];

const DEPTH = 100;
const MAX_LENGTH = 512;
/** Queries whose pairs are scored, and sorted by length, together. */
const BLOCK = 40;

/** @throws InvalidArgumentError for a choice that cannot be */
export function checkReranking({ rerank, rerankDepth, rerankMaxLength }: Reranking): void {
  const isScorer = typeof rerank === 'string' ? rerank !== '' : typeof rerank?.score === 'function';
  if (rerank !== undefined && !isScorer) {
    throw new InvalidArgumentError('rerank', "a cross-encoder's directory or Hub name, or a CrossEncoder", rerank);
  }
  for (const [name, value] of Object.entries({ rerankDepth, rerankMaxLength })) {
    if (value === undefined) continue;
    if (rerank === undefined) throw new InvalidArgumentError('rerank', `a cross-encoder beside ${name}`, rerank);
    checkWhole(name, value);
  }
}

type Place = Pick<CrossEncoderOptions, 'device' | 'precision'>;

/**
 * What a cross-encoder given by name would be loaded with, read from its directory: so that a wrong one shows before
 * anything is encoded.
 * @throws as CrossEncoder.load does, naming the options of Reranking
 */
export async function settleScorer(
  { rerank, rerankMaxLength, signal, onProgress }: Reranking & LongWork,
  place: Place,
): Promise<CrossEncoderOptions | undefined> {
  if (typeof rerank !== 'string') return undefined;
  const { settleCrossEncoder } = await import('../models/cross-encoder.js');
  const loading = { ...place, signal, onProgress };
  const { directory } = await settleCrossEncoder(rerank, loading, 'rerank');
  const { maxPositions } = directory.architecture;
  if (rerankMaxLength !== undefined && rerankMaxLength > maxPositions) {
    const expected = `at most ${maxPositions} tokens, which is what ${rerank} can read,`;
    throw new InvalidArgumentError('rerankMaxLength', expected, rerankMaxLength);
  }
  // Logits, since a sigmoid makes the largest ones equal.
  const maxLength = rerankMaxLength ?? Math.min(MAX_LENGTH, directory.maxLength);
  return { ...loading, maxLength, activation: 'identity' };
}

/** Loads the cross-encoder where it is given by name, and lets it go when the work is done. */
export async function withScorer<T>(
  options: Reranking & LongWork,
  place: Place,
  work: (scorer: PairScorer | undefined) => Promise<T>,
): Promise<T> {
  const { rerank } = options;
  if (typeof rerank !== 'string') return work(rerank);
  const { CrossEncoder } = await import('../cross-encoder.js');
  await using scorer = await CrossEncoder.load(rerank, await settleScorer(options, place));
  return await work(scorer);
}

/**
 * A run with the best passages of each query in the order of a scorer. Those beyond `depth` follow in their own order,
 * with made-up scores below.
 * @throws InvalidArgumentError if depth is no whole number from 1; DataError for a passage that the collection lacks;
 *   ListwiseError BAD_DATA if the scorer does not give a number for each pair, and what it throws
 */
export async function rerankRun(
  scorer: PairScorer,
  run: Run,
  collection: JudgedCollection,
  { depth = DEPTH, signal, onProgress }: LongWork & { depth?: number } = {},
): Promise<Run> {
  checkWhole('rerankDepth', depth);
  const asked = collection.queries.filter(({ id }) => run.has(id));
  const topOf = (id: string) => run.get(id)!.slice(0, depth);
  const texts = await textsOf(new Set(asked.flatMap(({ id }) => topOf(id).map((one) => one.id))), collection, signal);
  const total = asked.reduce((sum, { id }) => sum + topOf(id).length, 0);
  const reranked: Run = new Map(run);
  let done = 0;
  for (let start = 0; start < asked.length; start += BLOCK) {
    const block = asked.slice(start, start + BLOCK);
    const groups = block.map(({ id, text }) => ({ query: text, passages: topOf(id).map((one) => texts.get(one.id)!) }));
    const before = done;
    const report = (scored: number) =>
      onProgress?.({ stage: 'reranking', done: before + scored, total, unit: 'pairs' });
    const work = { signal, onProgress: (progress: Progress) => report(progress.done) };
    const scores = await Promise.resolve(scorer.score(groups, work)).catch((error) => {
      throw nameQuery(error, block, groups);
    });
    checkScores(scores, groups);
    let place = 0;
    for (const { id } of block) {
      const top = topOf(id).map((passage) => ({ id: passage.id, score: scores[place++]! }));
      reranked.set(id, inOrder(top, run.get(id)!.slice(depth)));
    }
    done += place;
  }
  return reranked;
}

async function textsOf(
  ids: ReadonlySet<string>,
  collection: JudgedCollection,
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const [id, passage] of await collection.passages(ids, signal)) texts.set(id, passageText(passage));
  const missing = [...ids].find((id) => !texts.has(id));
  if (missing === undefined) return texts;
  const problem = `Expected the passages of the run to rerank but ${JSON.stringify(missing)} is not in the corpus.`;
  throw new DataError({ file: collection.name }, problem);
}

/** A CrossEncoder counts pairs, of which the user knows nothing: a query that is too long is told by its id. */
function nameQuery(error: unknown, block: readonly Query[], groups: readonly PairGroup[]): unknown {
  const pair = error instanceof InvalidArgumentError && /^the query of pair (\d+)$/.exec(error.argument)?.[1];
  if (!pair) return error;
  let before = 0;
  const query = block.find((_, i) => {
    before += groups[i]!.passages.length;
    return before > Number(pair);
  });
  return new ListwiseError(
    'BAD_DATA',
    `The query ${describe(query?.id)} leaves no room for a passage in the tokens that the reranker reads. Queries are ` +
      'never cut: shorten it, leave it out, or raise rerankMaxLength if the model allows.',
    { cause: error },
  );
}

/** A scorer may be anybody's, and what is no number has no place in an order. */
function checkScores(scores: ArrayLike<number>, groups: readonly PairGroup[]): void {
  const pairs = groups.reduce((sum, { passages }) => sum + passages.length, 0);
  const wrong = Array.from(scores).findIndex((score) => typeof score !== 'number' || Number.isNaN(score));
  if (scores.length === pairs && wrong < 0) return;
  const found =
    scores.length === pairs ? `that of pair ${wrong} is ${describe(scores[wrong])}` : `came ${scores.length}`;
  throw new ListwiseError('BAD_DATA', `Expected of the reranker a score for each of ${pairs} pairs but ${found}.`);
}

/** Passages by score, best first (equal ones as they were), then the rest with scores below. */
function inOrder(top: readonly ScoredPassage[], rest: readonly ScoredPassage[]): ScoredPassage[] {
  const sorted = [...top].sort((a, b) => b.score - a.score);
  const lowest = sorted.at(-1)?.score ?? 0;
  return [...sorted, ...rest.map(({ id }, i) => ({ id, score: lowest - 1 - i }))];
}

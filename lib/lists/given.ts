import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { LongWork, TrainingList } from '../types.js';
import { textId } from './file.js';

/** A training list at hand, as a line of a lists file: the first passage is the positive. */
export interface GivenList {
  /** Default its place among the lists, from 1. */
  id?: string;
  query: string;
  type?: string;
  source?: string;
  /** Each with an id, a text or both; equal texts without ids are one passage. */
  passages: readonly { id?: string; text?: string; score: number }[];
}

/**
 * Checks lists that a program gives, and fills in ids as readLists does: a list's is its place from 1, a passage's is
 * made from its text.
 * @param argument their name, for messages
 * @throws InvalidArgumentError naming the first list and field that cannot be
 */
export async function settleGivenLists(
  given: readonly unknown[],
  argument: string,
  { signal }: Pick<LongWork, 'signal'> = {},
): Promise<TrainingList[]> {
  const breathe = breather(signal);
  const lists: TrainingList[] = [];
  for (const [place, list] of given.entries()) {
    lists.push(settleList(list, { name: `${argument}[${place}]`, id: String(place + 1) }));
    await breathe();
  }
  return lists;
}

function settleList(given: unknown, { name, id: madeId }: { name: string; id: string }): TrainingList {
  if (!isObject(given)) {
    throw new InvalidArgumentError(name, 'a list, {query, passages: [{id or text, score}]},', given);
  }
  const { id = madeId, query, type, source, passages } = given;
  if (typeof query !== 'string' || query.trim() === '') {
    throw new InvalidArgumentError(`${name}.query`, 'a string that is not empty', query);
  }
  if (typeof id !== 'string' || id === '') {
    throw new InvalidArgumentError(`${name}.id`, 'a string that is not empty, or no id', id);
  }
  if (!Array.isArray(passages) || passages.length < 2) {
    throw new InvalidArgumentError(`${name}.passages`, 'at least two passages, the positive first,', passages);
  }
  return {
    ...{ id, query, type: type as string | undefined, source: source as string | undefined },
    passages: passages.map((passage, j) => settlePassage(passage, `${name}.passages[${j}]`)),
  };
}

function settlePassage(given: unknown, name: string): TrainingList['passages'][number] {
  if (!isObject(given)) throw new InvalidArgumentError(name, 'a passage, {id or text, score},', given);
  const { id, text, score } = given;
  if (typeof score !== 'number' || !Number.isFinite(score)) {
    throw new InvalidArgumentError(`${name}.score`, 'a finite number', score);
  }
  if (text !== undefined && typeof text !== 'string') {
    throw new InvalidArgumentError(`${name}.text`, 'a string, or none where the passage has an id', text);
  }
  const settled = id === undefined && text !== undefined ? textId(text) : id;
  if (typeof settled === 'string' && settled !== '') return { id: settled, text, score };
  throw new InvalidArgumentError(`${name}.id`, 'a string that is not empty, or a text in its place,', id);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

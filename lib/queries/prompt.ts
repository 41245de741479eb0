import { Random } from '../random.js';
import type { Example, QueryType } from './query-type.js';

/** What one request asks for: the `place`-th query (from 0) of a type for a passage. */
export interface PromptTarget {
  passage: { id: string; text: string };
  type: QueryType;
  place: number;
}

export interface PromptOptions {
  seed: number;
  /** In which language the query is to be written, by its name; the passage's own where it is not given. */
  language?: string;
}

/**
 * The prompt: the type's instruction, examples drawn at random from its pool, then the passage. Passage id, type, place
 * and seed decide the draw, so a prompt does not depend on which others were made before it.
 */
export function promptFor({ passage, type, place }: PromptTarget, { seed, language }: PromptOptions): string {
  const random = Random.for(seed, 'examples', passage.id, type.name, place);
  const blocks = draw(type, random).map((example) => exampleBlock(example));
  return [
    language
      ? `${type.instruction} Write in ${language}, whatever the language of the passage and the examples.`
      : type.instruction,
    ...blocks,
    `Passage: ${passage.text}\nQuery:`,
  ].join('\n\n');
}

function exampleBlock({ passage, query }: Example): string {
  return passage === undefined ? `Query: ${query}` : `Passage: ${passage}\nQuery: ${query}`;
}

/** Distinct examples, in the order of the draw; the pool is large beside them, so repeats are drawn again. */
function draw({ examples, pool }: QueryType, random: Random): Example[] {
  const wanted = Math.min(examples, pool.length);
  const rows = new Set<number>();
  while (rows.size < wanted) rows.add(random.integer(pool.length));
  return [...rows].map((row) => pool[row]!);
}

/** The seed that a request carries, so that servers that honour seeds give the same reply again. */
export function requestSeed({ passage, type, place }: PromptTarget, seed: number): number {
  return Random.for(seed, 'reply', passage.id, type.name, place).integer(2 ** 31 - 1);
}

import { writeFileSync } from 'node:fs';
import { passageText } from '../../lib/corpus/passage.js';
import { readCorpus } from '../../lib/formats/beir.js';
import { Random } from '../../lib/random.js';
import type { Passage } from '../../lib/types.js';

const LIST_LENGTH = 20;

export async function readPassages(directory: string): Promise<Passage[]> {
  const passages: Passage[] = [];
  for await (const passage of readCorpus(directory)) passages.push(passage);
  return passages;
}

export function writeTexts(file: string, passages: readonly Passage[]): void {
  writeFileSync(file, `${passages.map((passage) => JSON.stringify(passageText(passage))).join('\n')}\n`);
}

/** Pairs of queries, passages' titles, with that passage and others drawn at random: 20 a query. */
export function writePairs(file: string, passages: readonly Passage[], queries: number): void {
  const random = Random.for(1, 'pairs', queries);
  const lines = random
    .shuffle([...passages])
    .slice(0, queries)
    .flatMap((own) => {
      const query = own.title || own.text.slice(0, 100);
      return draw(passages, own, random).map((one) => JSON.stringify({ query, passage: passageText(one) }));
    });
  writeFileSync(file, `${lines.join('\n')}\n`);
}

export interface ListsOptions {
  queries: number;
  /** No passage stands in two lists. */
  distinct?: boolean;
  seed?: number;
}

/**
 * Lists of 20: the query is a passage's title, that passage is the positive, the others are drawn at random. Teacher
 * scores fall from 1; some are above the mask's threshold.
 */
export function writeLists(file: string, passages: readonly Passage[], options: ListsOptions): void {
  const { queries, distinct = false, seed = 1 } = options;
  if (distinct && queries * LIST_LENGTH > passages.length) {
    throw new Error(`${queries} lists of ${LIST_LENGTH} distinct passages need more than ${passages.length} passages`);
  }
  const random = Random.for(seed, 'peers', queries);
  const order = random.shuffle([...passages]);
  const lines = Array.from({ length: queries }, (_, i) => {
    const own = distinct
      ? order.slice(i * LIST_LENGTH, (i + 1) * LIST_LENGTH)
      : draw(passages, order[i % order.length]!, random);
    return JSON.stringify({
      query: own[0]!.title || own[0]!.text.slice(0, 100),
      passages: own.map((passage, j) => ({
        id: passage.id,
        text: passageText(passage),
        score: 1 - j / LIST_LENGTH + 0.01 * random.float(),
      })),
    });
  });
  writeFileSync(file, `${lines.join('\n')}\n`);
}

function draw(passages: readonly Passage[], positive: Passage, random: Random): Passage[] {
  const chosen = new Set([positive]);
  while (chosen.size < LIST_LENGTH) chosen.add(passages[random.integer(passages.length)]!);
  return [...chosen];
}

/** More passages than a corpus has, of the same lengths: the words of each, turned round by some places. */
export function grow(passages: readonly Passage[], count: number): Passage[] {
  return Array.from({ length: count }, (_, i) => {
    const passage = passages[i % passages.length]!;
    const turn = Math.floor(i / passages.length);
    if (turn === 0) return passage;
    const words = passageText(passage).split(/\s+/);
    const at = (turn * 17) % words.length;
    return {
      id: `${passage.id}-${turn}`,
      title: passage.title,
      text: [...words.slice(at), ...words.slice(0, at)].join(' '),
    };
  });
}

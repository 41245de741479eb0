import { comparisonText } from './comparison-text.js';

/** Words in a shingle. */
const SHINGLE = 3;

/**
 * How alike two texts are: the Jaccard index of their sets of three words in a row, of the text as it is compared for
 * duplicates (see comparisonText). 1 for equal sets, 0 for disjoint ones. A text of fewer words is one shingle.
 * @see Broder 1997, On the resemblance and containment of documents
 */
export function resemblance(a: string, b: string): number {
  return jaccard(shingles(a), shingles(b));
}

export function shingles(text: string): Set<string> {
  const words = comparisonText(text).split(' ').filter(Boolean);
  if (words.length <= SHINGLE) return new Set([words.join(' ')]);
  return new Set(words.slice(SHINGLE - 1).map((_, i) => words.slice(i, i + SHINGLE).join(' ')));
}

/** Elements of both sets by elements of either. */
export function jaccard(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let both = 0;
  for (const shingle of a) if (b.has(shingle)) both += 1;
  return both / (a.size + b.size - both);
}

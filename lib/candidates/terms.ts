import { stemmer } from 'stemmer';

/** How text becomes the terms that BM25 counts. 'none' suits languages other than English. */
export type Analysis = 'english' | 'none';

const WORD = /[\p{L}\p{M}\p{N}]+(?:['\u2019][\p{L}\p{M}]+)*/gu;

/** Lucene's stop words for English. */
const STOP_WORDS = new Set(
  (
    'a an and are as at be but by for if in into is it no not of on or such ' +
    'that the their then there these they this to was will with'
  ).split(' '),
);

/**
 * The terms of a text in order, repeated where they repeat: runs of letters, marks and numbers in lower case. For
 * English also without possessive endings and stop words, and stemmed by Porter's algorithm (Porter 1980), as Lucene's
 * analyser for English does.
 */
export function terms(text: string, analysis: Analysis = 'english'): string[] {
  const words = text.normalize('NFKC').toLowerCase().match(WORD) ?? [];
  if (analysis === 'none') return words;
  const found: string[] = [];
  for (const word of words) {
    const bare = word.replace(/['\u2019]s$/, '');
    if (!STOP_WORDS.has(bare)) found.push(stemmer(bare));
  }
  return found;
}

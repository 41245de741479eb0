/** Scripts that do not put spaces between words. */
const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;
const EDGES = /^[^\p{L}\p{M}\p{N}]+|[^\p{L}\p{M}\p{N}]+$/gu;

let segmenter: Intl.Segmenter | undefined;

/**
 * The words of a text, in lower case and without the punctuation around them. Where a script writes no spaces, words
 * are found by Unicode's rules and its dictionaries (Intl.Segmenter).
 */
export function wordsOf(text: string): string[] {
  const normal = text.normalize('NFKC').toLowerCase();
  if (UNSPACED.test(normal)) {
    segmenter ??= new Intl.Segmenter('und', { granularity: 'word' });
    const words: string[] = [];
    for (const { segment, isWordLike } of segmenter.segment(normal)) if (isWordLike) words.push(segment);
    return words;
  }
  return normal
    .split(/\s+/)
    .map((word) => word.replace(EDGES, ''))
    .filter((word) => word !== '');
}

/** How many words the longest run has that stands in both texts. */
export function longestSharedRun(a: readonly string[], b: readonly string[]): number {
  let longest = 0;
  // Row i holds, per place in b, how long the run is that ends there and at a[i].
  let before = new Uint32Array(b.length + 1);
  for (const word of a) {
    const row = new Uint32Array(b.length + 1);
    for (let j = 0; j < b.length; j++) {
      if (b[j] !== word) continue;
      row[j + 1] = before[j]! + 1;
      if (row[j + 1]! > longest) longest = row[j + 1]!;
    }
    before = row;
  }
  return longest;
}

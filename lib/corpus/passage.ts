import type { Passage } from '../types.js';

/** Longest text that a model reads of a passage, in characters (Unicode code points). */
export const PASSAGE_CHARACTERS = 2048;

/**
 * The text a model reads: title, a space and text (either alone where the other is empty), newlines and tabs turned to
 * spaces, trimmed, cut to `maxCharacters` code points (default 2,048). A surrogate pair is one character and is never
 * cut in two.
 */
export function passageText(passage: Pick<Passage, 'title' | 'text'>, maxCharacters = PASSAGE_CHARACTERS): string {
  const { title, text } = passage;
  const joined = title && text ? `${title} ${text}` : title || text;
  return cut(joined.replace(/[\n\r\t]/g, ' ').trim(), maxCharacters);
}

function cut(text: string, maxCharacters: number): string {
  // Code units are never fewer than code points, so most texts need no counting.
  if (text.length <= maxCharacters) return text;
  let units = 0;
  for (let characters = 0; characters < maxCharacters && units < text.length; characters++) {
    units += text.codePointAt(units)! > 0xffff ? 2 : 1;
  }
  return text.slice(0, units);
}

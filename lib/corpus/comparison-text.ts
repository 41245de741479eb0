/**
 * What two passages are compared by: NFKC; NFD with combining marks (general category M) dropped; lower case; decimal
 * digits dropped; everything that is neither a word character (letters, marks, numbers, underscore) nor white space
 * dropped; runs of white space squeezed to one space.
 */
export function comparisonText(text: string): string {
  // In ASCII, which most texts are, normal forms change nothing, and the rest is one table.
  return asciiComparison(text) ?? unicodeComparison(text);
}

function unicodeComparison(text: string): string {
  return text
    .normalize('NFKC')
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/\p{Nd}|[^\p{L}\p{M}\p{N}_\p{White_Space}]/gu, '')
    .replace(/\p{White_Space}+/gu, ' ');
}

const SPACE = 0x20;
/** What becomes of each ASCII character: another one, or 0 for none. */
const TABLE = Uint8Array.from({ length: 128 }, (_, code) => {
  const folded = unicodeComparison(String.fromCharCode(code));
  return folded === '' ? 0 : folded.charCodeAt(0);
});
let folded = Buffer.alloc(4096);

function asciiComparison(text: string): string | undefined {
  if (folded.length < text.length) folded = Buffer.alloc(2 * text.length);
  let length = 0;
  let last = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127) return undefined;
    const kept = TABLE[code]!;
    if (kept === 0 || (kept === SPACE && last === SPACE)) continue;
    folded[length++] = kept;
    last = kept;
  }
  return folded.toString('latin1', 0, length);
}

/** The characters (code points) of a text, last first. */
export function reversed(text: string): string {
  if (!/[^\0-\xff]/.test(text)) return Buffer.from(text, 'latin1').reverse().toString('latin1');
  if (!/[\ud800-\udfff]/.test(text)) return Buffer.from(text, 'utf16le').reverse().swap16().toString('utf16le');
  return Array.from(text).reverse().join('');
}

/** Whether a text has fewer characters (code points) than that. */
export function isShorter(text: string, characters: number): boolean {
  if (text.length < characters) return true;
  // A character takes at most two code units.
  return text.length < 2 * characters && Array.from(text).length < characters;
}

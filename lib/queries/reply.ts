const LABEL =
  /^[#*_>\s-]*(?:(?:search|web|keyword|free[- ]form)\s+)?(?:quer(?:y|ies)|question|claim|title|keywords?|search|answer|output)\b[*_]*\s*:[*_]*\s*/i;

const QUOTES: readonly (readonly [string, string])[] = [
  ['"', '"'],
  ["'", "'"],
  ['`', '`'],
  ['\u201c', '\u201d'],
  ['\u201e', '\u201c'],
  ['\u2018', '\u2019'],
  ['\u00ab', '\u00bb'],
];

/**
 * The query in an LLM's reply: its first non-empty line, without a leading label ("Query:") and without paired outer
 * quotes, tabs turned to spaces, trimmed. Empty if the reply holds none.
 */
export function cleanReply(reply: string): string {
  const line = reply.split(/\r\n|[\n\r\u2028\u2029]/).find((candidate) => candidate.trim() !== '') ?? '';
  let query = line.replaceAll('\t', ' ').trim();
  // A label can stand inside the quotes or outside of them.
  for (let before = ''; before !== query; ) {
    before = query;
    query = withoutOuterQuotes(query.replace(LABEL, '')).trim();
  }
  return query;
}

function withoutOuterQuotes(text: string): string {
  for (const [open, close] of QUOTES) {
    if (text.length < 2 || !text.startsWith(open) || !text.endsWith(close)) continue;
    const inner = text.slice(open.length, -close.length);
    // `"a" or "b"` begins and ends with quotes that are no pair; an apostrophe inside a word is no quote.
    const quoted = inner.replace(/(?<=\p{L})['\u2019](?=\p{L})/gu, '');
    if (!quoted.includes(open) && !quoted.includes(close)) return inner;
  }
  return text;
}

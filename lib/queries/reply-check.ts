import { cleanReply } from './reply.js';
import { longestSharedRun, wordsOf } from './words.js';

/** Why a reply gives no query. 'duplicate' shows only when all replies are there. */
export type Rejection = 'empty' | 'refusal' | 'too long' | 'copy' | 'duplicate';

export const REJECTIONS: readonly Rejection[] = ['empty', 'refusal', 'too long', 'copy', 'duplicate'];

/** What a model answered: its text, and how it ended. */
export interface ReplyText {
  text: string;
  /** As chat completions call it: 'stop', 'length' where the limit of new tokens cut it, 'content_filter', ... */
  finish?: string;
}

export interface ReplyLimits {
  /** Most words of a query. */
  maxWords: number;
  /** Longest run of words that may stand in the passage as they do in the query. */
  maxCopiedWords: number;
}

/** Turns of phrase with which models decline, at the start of a reply. "I can't sleep" is a query, so more must follow. */
const REFUSALS: readonly RegExp[] = [
  /^(?:i['’]?m |i am )?(?:very |so |really |truly )?(?:sorry|afraid)\b[,.;:]?\s*(?:but|i\b|as an|that i|this|there|the passage)/i,
  /^(?:i|we)\s*(?:can ?not|can['’]?t|could not|couldn['’]?t|won['’]?t|will not|am unable to|['’]m unable to|am not able to|['’]m not able to|must decline to)\s+(?:\w+\s+){0,3}?(?:help|assist|provide|generate|create|write|produce|fulfil+|comply|complete|answer|do (?:that|this)|process|continue|support)\b/i,
  /^as an? (?:ai|artificial intelligence|(?:large )?language model)\b/i,
  /^(?:unfortunately|regrettably|i apologi[sz]e)\b[,.]?\s*(?:i|but|the passage|there|this)\b/i,
  /^(?:es tut mir leid|tut mir leid|je suis désolée?|désolée?, |lo siento|desculpe|mi dispiace|het spijt me|przepraszam|к сожалению|извините|抱歉|对不起|申し訳|죄송)/i,
];

/**
 * The query in a reply, cleaned, or why there is none. Beside cleanReply's rules: thoughts that a model puts before its
 * answer (<think>...</think>) are taken away, and a query that the limit of new tokens cut off counts as too long.
 */
export function checkReply(
  reply: ReplyText,
  passage: string,
  { maxWords, maxCopiedWords }: ReplyLimits,
): { query: string } | { rejected: Rejection; query: string } {
  const answer = withoutThoughts(reply.text);
  const query = cleanReply(answer);
  if (reply.finish === 'content_filter') return { rejected: 'refusal', query };
  if (query === '') return { rejected: 'empty', query };
  if (REFUSALS.some((pattern) => pattern.test(query))) return { rejected: 'refusal', query };
  const cut = reply.finish === 'length' && !/[\n\r]/.test(answer.trimStart());
  const words = wordsOf(query);
  if (cut || words.length > maxWords) return { rejected: 'too long', query };
  if (longestSharedRun(words, wordsOf(passage)) > maxCopiedWords) return { rejected: 'copy', query };
  return { query };
}

function withoutThoughts(text: string): string {
  const answer = text.replace(/^\s*<think>[\s\S]*?<\/think>/i, '');
  return /^\s*<think>/i.test(answer) ? '' : answer;
}

/** Two queries with the same key are the same query: without regard to case, punctuation and white space. */
export function duplicateKey(query: string): string {
  const words = wordsOf(query);
  return words.length > 0 ? words.join(' ') : query;
}

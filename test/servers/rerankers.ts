import type { TeacherRequest } from '../../lib/teachers/teacher.js';

/** A number that depends on both texts and nothing else. */
export function scoreOf(query: string, text: string): number {
  let hash = 7;
  for (const character of `${query}|${text}`) hash = (hash * 31 + character.charCodeAt(0)) % 10_007;
  return hash / 10_007;
}

/** What a reranker of any of the protocols answers: results in another order than the texts came in. */
export function rerankReply(body: any, path: string): object {
  const texts: string[] = body.texts ?? body.documents ?? body.text_2;
  const query: string = body.query ?? body.text_1;
  const name = body.texts || body.text_2 ? 'score' : 'relevance_score';
  const results = texts.map((text, index) => ({ index, [name]: scoreOf(query, text) })).reverse();
  if (body.texts) return results;
  const usage = { total_tokens: 10 * texts.length };
  return path.endsWith('/score') ? { data: results, usage } : { results, usage };
}

/** Queries q0, q1, ... with passages p0, p1, ... of other texts each. */
export function requestsOf(queries: number, passages: number): TeacherRequest[] {
  return Array.from({ length: queries }, (_, q) => ({
    query: { id: `q${q}`, text: `query ${q}` },
    passages: Array.from({ length: passages }, (_, p) => ({ id: `p${p}`, text: `text ${q} ${p}` })),
  }));
}

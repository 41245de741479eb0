import { field } from './remote.js';

/**
 * How an LLM is asked to grade. `{query}`, `{passage}` and `{top}`, the highest grade, are filled in; the answer must be
 * a whole number from 0 to the highest grade.
 */
export const JUDGE_PROMPT = `You assess search results. Read the query and the passage, then grade how useful the passage is to someone who typed this query, with a whole number from 0 to {top}:
0 means that the passage is about something else;
low grades mean that it is on the topic but does not answer the query;
high grades mean that it answers the query in part, or with much beside the point;
{top} means that it answers the query directly and in full.

Query: {query}

Passage: {passage}

Answer with the number only.`;

/** Fills the places in one pass, so that braces in a query or passage stay as they are. */
export function fillPrompt(prompt: string, values: Readonly<Record<string, string>>): string {
  return prompt.replace(/\{(query|passage|top)\}/g, (_, name: string) => values[name]!);
}

/**
 * The grade in a chat completion. Where it has log-probabilities, the expected grade: the mean of the grades under the
 * probabilities of their tokens, at the first place where the answer has a grade (in the manner of G-Eval, Liu et al.
 * 2023, arXiv:2303.16634). Else the number in the answer. Undefined where the answer has no grade.
 * @throws Error in words if the reply is no chat completion
 */
export function readGrade(reply: unknown, top: number): number | undefined {
  const choice = field(reply, 'choices', 0);
  if (choice === undefined) throw new Error('there is no "choices" with an answer');
  const content = field(choice, 'message', 'content');
  if (content !== null && typeof content !== 'string') throw new Error('the answer has no text "message.content"');
  const answer = gradeIn((content ?? '').replace(/^[\s\S]*<\/think>/, ''), top);
  if (answer === undefined) return undefined;
  return expectedGrade(field(choice, 'logprobs', 'content'), answer, top) ?? answer;
}

function gradeIn(text: string, top: number): number | undefined {
  for (const [number] of text.matchAll(/(?<![\d.-])\d+(?![\d]|\.\d)/g))
    if (Number(number) <= top) return Number(number);
  return undefined;
}

/** @param answer the grade that the answer gives, at the token of which the probabilities are taken */
function expectedGrade(tokens: unknown, answer: number, top: number): number | undefined {
  if (!Array.isArray(tokens)) return undefined;
  // The last such token: a model that reasons aloud may have said the number before.
  const place = tokens.findLast((token) => gradeToken(field(token, 'token'), top) === answer);
  const alternatives = field(place, 'top_logprobs');
  if (!Array.isArray(alternatives)) return undefined;
  let total = 0;
  let weighted = 0;
  for (const alternative of alternatives) {
    const grade = gradeToken(field(alternative, 'token'), top);
    const logprob = field(alternative, 'logprob');
    if (grade === undefined || typeof logprob !== 'number') continue;
    total += Math.exp(logprob);
    weighted += grade * Math.exp(logprob);
  }
  return total > 0 ? weighted / total : undefined;
}

function gradeToken(token: unknown, top: number): number | undefined {
  if (typeof token !== 'string' || !/^\s*\d\s*$/.test(token)) return undefined;
  return Number(token) <= top ? Number(token) : undefined;
}

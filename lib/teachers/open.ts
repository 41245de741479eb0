import { join } from 'node:path';
import { canonicalJson, hashJson, type Json } from '../hashes.js';
import type { LongWork } from '../types.js';
import type { FileChoice, FusedChoice, SingleChoice } from './choice.js';
import { FileTeacher } from './file.js';
import { JUDGE_PROMPT } from './grades.js';
import { ScoreJournal } from './journal.js';
import { JudgeTeacher } from './judge.js';
import { withPath } from './remote.js';
import { RERANKERS, RerankTeacher } from './rerank.js';
import type { Teacher } from './teacher.js';

/** A teacher that needs nothing of a corpus but the texts in its requests. */
export type StandaloneChoice = Exclude<SingleChoice, FusedChoice>;

/**
 * Makes a teacher ready.
 * @throws NotFoundError or DataError for a file of scores; ListwiseError INVALID_ARGUMENT if the environment lacks a key
 */
export async function openTeacher(choice: StandaloneChoice, work: Pick<LongWork, 'signal'> = {}): Promise<Teacher> {
  switch (choice.kind) {
    case 'file':
      return FileTeacher.load(choice.scores, work);
    case 'llm':
      return new JudgeTeacher(choice);
    default:
      return new RerankTeacher(choice);
  }
}

/**
 * Whatever decides the scores of a teacher on a server: equal identities score alike. Where a model is named the address
 * does not count, so that the same model may move to another server.
 */
export function identityOf(choice: Exclude<StandaloneChoice, FileChoice>): { [name: string]: Json } {
  const { kind, model } = choice;
  if (choice.kind === 'llm') {
    const { topGrade = 3, prompt = JUDGE_PROMPT, logprobs = true, answerTokens = 16, body = {} } = choice;
    return {
      kind,
      model: choice.model,
      topGrade,
      prompt,
      logprobs,
      answerTokens,
      body: body as { [name: string]: Json },
    };
  }
  const isCut = kind === 'vllm-score' || kind === 'vllm-rerank';
  const cut: Record<string, number> = isCut ? { maxLength: choice.maxLength ?? 512 } : {};
  if (model !== undefined) return { kind, model, ...cut };
  const { origin, pathname } = new URL(
    withPath(choice.url ?? RERANKERS[choice.kind].url!, RERANKERS[choice.kind].path),
  );
  return { kind, address: origin + pathname, ...cut };
}

/** A teacher's answers in a directory, in a file of its own. */
export function openAnswers(
  directory: string,
  choice: SingleChoice,
  work: Pick<LongWork, 'signal'> = {},
): Promise<ScoreJournal> {
  if (choice.kind === 'fused' || choice.kind === 'file')
    throw new Error(`${choice.kind} asks no server. This is a bug.`);
  const identity = identityOf(choice);
  const file = `${choice.kind}-${hashJson(identity).slice(0, 16)}.jsonl`;
  return ScoreJournal.open(join(directory, file), canonicalJson(identity), work);
}

import { join } from 'node:path';
import { canonicalJson, hashJson, type Json } from '../hashes.js';
import type { LongWork } from '../types.js';
import type { FileChoice, FusedChoice, SingleChoice } from './choice.js';
import { CrossEncoderTeacher, crossEncoderIdentity } from './cross-encoder.js';
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
    case 'cross-encoder':
      return CrossEncoderTeacher.open(choice, work);
    case 'llm':
      return new JudgeTeacher(choice);
    default:
      return new RerankTeacher(choice);
  }
}

/**
 * Whatever decides the scores of a teacher that computes them or asks a server: equal identities score alike. Where a model is named the address
 * does not count, so that the same model may move to another server.
 */
export async function identityOf(
  choice: Exclude<StandaloneChoice, FileChoice>,
  work: Pick<LongWork, 'signal'> = {},
): Promise<{ [name: string]: Json }> {
  if (choice.kind === 'cross-encoder') return crossEncoderIdentity(choice, work);
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
  const isVllm = kind === 'vllm-score' || kind === 'vllm-rerank';
  const asked: Record<string, Json> = isVllm ? { maxLength: choice.maxLength ?? 512, use_activation: false } : {};
  if (model !== undefined) return { kind, model, ...asked };
  const { origin, pathname } = new URL(
    withPath(choice.url ?? RERANKERS[choice.kind].url!, RERANKERS[choice.kind].path),
  );
  return { kind, address: origin + pathname, ...asked };
}

/** A teacher's answers in a directory, in a file of its own. */
export async function openAnswers(
  directory: string,
  choice: SingleChoice,
  work: Pick<LongWork, 'signal'> = {},
): Promise<ScoreJournal> {
  if (choice.kind === 'fused' || choice.kind === 'file')
    throw new Error(`${choice.kind} keeps no answers. This is a bug.`);
  const identity = await identityOf(choice, work);
  const file = `${choice.kind}-${hashJson(identity).slice(0, 16)}.jsonl`;
  return ScoreJournal.open(join(directory, file), canonicalJson(identity), work);
}

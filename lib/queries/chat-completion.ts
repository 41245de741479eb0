import type { ChatCompletion, ChatCompletionChunk } from 'openai/resources';
import { oneLine } from '../terminal.js';
import type { Completion } from './writer.js';

const SHOWN = 300;

/** A reply that is no chat completion; the message has its beginning. */
export class StrangeReply extends Error {
  constructor(
    /** All of it. */
    readonly said: string,
  ) {
    super(shown(said));
  }
}

/**
 * What a model answered, from the body of a chat completion. It may come from any server, so nothing is taken for
 * granted.
 * @throws StrangeReply if it is none, or has no answer in it
 */
export function readCompletion(reply: unknown): Completion {
  const body = reply as ChatCompletion;
  const choice = choicesOf(body)[0];
  const { content, refusal } = choice?.message ?? {};
  const isText = (value: unknown) => value === null || value === undefined || typeof value === 'string';
  if (!choice?.message || !isText(content) || !isText(refusal) || typeof body.model !== 'string') {
    throw new StrangeReply(typeof reply === 'object' && reply ? JSON.stringify(reply) : String(reply ?? ''));
  }
  const finish = content || !refusal ? choice.finish_reason : 'content_filter';
  return { text: content || refusal || '', finish: finish ?? 'stop', model: body.model, ...readUsage(body) };
}

/** The choices of a reply or of a part of it; empty where it has none. */
export function choicesOf<T extends ChatCompletion | ChatCompletionChunk>(reply: T): T['choices'] | [] {
  const { choices } = (typeof reply === 'object' && reply) || {};
  return Array.isArray(choices) ? choices : [];
}

/** The tokens that the server counted, if it did. */
export function readUsage({ usage }: { usage?: ChatCompletion['usage'] | null }): Pick<Completion, 'tokens'> {
  const { prompt_tokens: prompt, completion_tokens: completion } = usage ?? {};
  if (!Number.isFinite(prompt) || !Number.isFinite(completion)) return {};
  return { tokens: { prompt: prompt!, completion: completion! } };
}

/** What a server said, as one short line. */
export function shown(said: unknown): string {
  const line = oneLine(said instanceof Error ? said.message : String(said ?? ''));
  if (line === '') return '(nothing)';
  return line.length > SHOWN ? `${line.slice(0, SHOWN - 3)}...` : line;
}

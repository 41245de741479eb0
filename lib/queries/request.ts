import { createHash } from 'node:crypto';
import { passageText } from '../corpus/passage.js';
import { breather } from '../event-loop.js';
import { canonicalJson, type Json } from '../hashes.js';
import { Random } from '../random.js';
import type { Passage } from '../types.js';
import { promptFor, requestSeed } from './prompt.js';
import type { QueryType } from './query-type.js';

/** What a chat completion is asked with, beside messages. */
export type ExtraBody = { readonly [field: string]: Json };

/** A chat completion's body. */
export interface ChatBody {
  model: string;
  messages: { role: 'user'; content: string }[];
  [field: string]: unknown;
}

/** One query to be written: the `place`-th (from 0) of a type for a passage. */
export interface QueryRequest {
  passage: { id: string; text: string };
  type: string;
  place: number;
  /** Which model is asked. */
  model: string;
  prompt: string;
  seed: number;
  /** SHA-256 of all that the model is told, as hexadecimal digits: prompt, model, sampling and seed. */
  hash: string;
}

/** A model of the pool, and what its requests carry beside model and messages. */
export interface AskedModel {
  name: string;
  body: ExtraBody;
}

export interface PlanOptions {
  passages: Iterable<Passage>;
  types: readonly QueryType[];
  queriesPerPassage: number;
  /** Where there are several, a draw decides which one writes a query. */
  models: readonly AskedModel[];
  seed: number;
  language?: string;
  temperature: number;
  maxNewTokens: number;
}

/**
 * All queries that are to be written, by passage in the corpus' order, then by type, then by place. Passage, type,
 * place and seed alone decide what is asked: neither other passages nor what was asked before.
 */
export async function* planRequests(plan: PlanOptions, signal?: AbortSignal): AsyncGenerator<QueryRequest> {
  const breathe = breather(signal);
  for (const passage of plan.passages) {
    const read = { id: passage.id, text: passageText(passage) };
    for (const type of plan.types) {
      for (let place = 0; place < plan.queriesPerPassage; place++) {
        yield requestFor({ passage: read, type, place }, plan);
        await breathe();
      }
    }
  }
}

function requestFor(
  target: { passage: { id: string; text: string }; type: QueryType; place: number },
  plan: PlanOptions,
): QueryRequest {
  const { passage, type, place } = target;
  const { models, seed } = plan;
  const choice = models.length > 1 ? Random.for(seed, 'model', passage.id, type.name, place).integer(models.length) : 0;
  const model = models[choice]!;
  const request = {
    ...{ passage, type: type.name, place, model: model.name },
    prompt: promptFor(target, plan),
    seed: requestSeed(target, seed),
  };
  const told = chatBody(request, { ...plan, body: model.body });
  return {
    ...request,
    hash: createHash('sha256')
      .update(canonicalJson(told as unknown as Json))
      .digest('hex'),
  };
}

/**
 * The body of a request. Extra fields go over what is set here, and a field that is null is left out, for servers that
 * refuse it.
 * @param attempt from 0; each further one has a seed of its own, since the same would give the same reply
 */
export function chatBody(
  { model, prompt, seed }: Pick<QueryRequest, 'model' | 'prompt' | 'seed'>,
  settings: { temperature: number; maxNewTokens: number; body: ExtraBody },
  attempt = 0,
): ChatBody {
  const { temperature, maxNewTokens, body } = settings;
  const all: Record<string, unknown> = {
    ...{ model, messages: [{ role: 'user', content: prompt }], temperature, max_tokens: maxNewTokens },
    ...{ seed: (seed + attempt) % (2 ** 31 - 1), ...body },
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as ChatBody;
}

/** What names a query within a run. */
export function requestKey({ passage, type, place }: { passage: string; type: string; place: number }): string {
  return JSON.stringify([passage, type, place]);
}

import type { Endpoint, EndpointOptions } from '../http/endpoint.js';
import type { BudgetLimits } from './budget.js';
import { askServer, estimateTokens, field, noteOf, openEndpoint, type Piece, tokensOf, withPath } from './remote.js';
import type { Teacher, TeacherRequest, TeacherScores, TeacherWork } from './teacher.js';

/** Which protocol a reranker's server speaks. */
export type RerankKind = 'tei' | 'vllm-score' | 'vllm-rerank' | 'cohere' | 'jina' | 'rerank';

/** A reranker behind HTTP. */
export interface RerankChoice extends Omit<EndpointOptions, 'url'>, BudgetLimits {
  kind: RerankKind;
  /** The server's address, with or without the last part of the path. Not needed for 'cohere' and 'jina'. */
  url?: string;
  /** The model's name; a server of text-embeddings-inference has only one. */
  model?: string;
  /** Passages in a request, at most. Default 32, the most that text-embeddings-inference takes by its defaults. */
  batchSize?: number;
  /** Tokens of a pair, beyond which vLLM cuts. Default 512. The other servers cut by settings of their own. */
  maxLength?: number;
}

interface Protocol {
  path: string;
  /** Where the service is, if there is only one. */
  url?: string;
  keyVariable?: string;
  needsModel: boolean;
  /** Whether a request can say how long a pair may be. */
  cuts?: boolean;
  body: (piece: Piece, choice: { model?: string; maxLength: number }) => object;
  /** The array of scores in a reply. */
  results: (reply: unknown) => unknown;
  /** The name of the score in each. */
  score: 'score' | 'relevance_score';
}

const texts = ({ passages }: Piece) => passages.map(({ text }) => text);

const RERANK = {
  path: '/rerank',
  needsModel: true,
  results: (reply: unknown) => field(reply, 'results'),
  score: 'relevance_score',
} as const;

/** The protocols as data. */
export const RERANKERS: Readonly<Record<RerankKind, Protocol>> = {
  tei: {
    path: '/rerank',
    needsModel: false,
    // Raw scores: those after a sigmoid differ only far behind the point for good candidates.
    body: (piece) => ({ query: piece.query.text, texts: texts(piece), raw_scores: true, truncate: true }),
    results: (reply) => reply,
    score: 'score',
  },
  'vllm-score': {
    path: '/score',
    needsModel: true,
    cuts: true,
    body: (piece, { model, maxLength }) => ({
      ...{ model, text_1: piece.query.text, text_2: texts(piece) },
      ...vllmFields(maxLength),
    }),
    results: (reply) => field(reply, 'data'),
    score: 'score',
  },
  'vllm-rerank': {
    ...RERANK,
    cuts: true,
    body: (piece, { model, maxLength }) => ({ ...ranking(piece, model), ...vllmFields(maxLength) }),
  },
  cohere: {
    ...RERANK,
    ...{ url: 'https://api.cohere.com/v2', keyVariable: 'COHERE_API_KEY' },
    body: (piece, { model }) => ranking(piece, model),
  },
  jina: {
    ...RERANK,
    ...{ url: 'https://api.jina.ai/v1', keyVariable: 'JINA_API_KEY' },
    body: (piece, { model }) => ({ ...ranking(piece, model), return_documents: false }),
  },
  rerank: { ...RERANK, body: (piece, { model }) => ranking(piece, model) },
};

/**
 * Raw scores, as of text-embeddings-inference. vLLM before 0.11.1 called the field `activation`, which cannot be sent too:
 * some of the versions that know both names take whatever the old one says as true.
 */
function vllmFields(maxLength: number): object {
  return { truncate_prompt_tokens: maxLength, use_activation: false };
}

function ranking(piece: Piece, model: string | undefined): object {
  return { model, query: piece.query.text, documents: texts(piece), top_n: piece.passages.length };
}

/** A cross-encoder on a server. */
export class RerankTeacher implements Teacher {
  readonly name: string;
  readonly #choice: RerankChoice;
  readonly #endpoint: Endpoint;

  /**
   * @throws InvalidArgumentError for an option that cannot be
   * @throws ListwiseError INVALID_ARGUMENT if the environment lacks the key
   */
  constructor(choice: RerankChoice) {
    this.#choice = choice;
    const { kind, model, url = RERANKERS[kind].url!, keyVariable = RERANKERS[kind].keyVariable } = choice;
    this.#endpoint = openEndpoint({ ...choice, keyVariable, url: withPath(url, RERANKERS[kind].path) });
    this.name = `${kind} ${model ?? this.#endpoint.address}`;
  }

  get note(): string | undefined {
    return noteOf(this.#endpoint);
  }

  score(
    requests: Iterable<TeacherRequest> | AsyncIterable<TeacherRequest>,
    work: TeacherWork = {},
  ): AsyncIterable<TeacherScores> {
    const { batchSize = 32 } = this.#choice;
    const ask = (piece: Piece, signal?: AbortSignal) => this.#ask(piece, signal);
    return askServer(requests, { endpoint: this.#endpoint, batchSize, limits: this.#choice, ask }, work);
  }

  async #ask(piece: Piece, signal?: AbortSignal): Promise<TeacherScores> {
    const { kind, model, maxLength = 512 } = this.#choice;
    const protocol = RERANKERS[kind];
    const read = (reply: unknown): TeacherScores => {
      const scores = readScores(protocol.results(reply), protocol.score, piece.passages.length);
      const tokens = tokensOf(reply);
      const passages = piece.passages.map(({ id }, i) => ({ id, score: scores[i]! }));
      return { query: piece.query.id, passages, ...(tokens > 0 && { tokens }) };
    };
    const tokens = estimateTokens(piece);
    return this.#endpoint.post(protocol.body(piece, { model, maxLength }), { read, tokens, signal });
  }
}

/** Scores by their places. @throws Error in words if not each place has exactly one finite score */
function readScores(results: unknown, name: string, count: number): number[] {
  if (!Array.isArray(results)) throw new Error('there is no list of scores');
  const scores = new Map<number, number>();
  for (const result of results) {
    const [index, score] = [field(result, 'index'), field(result, name)];
    if (typeof score !== 'number' || !Number.isFinite(score)) throw new Error(`a result has no number "${name}"`);
    if (!Number.isInteger(index) || (index as number) < 0 || (index as number) >= count) {
      throw new Error(`a result has no "index" from 0 to ${count - 1}`);
    }
    scores.set(index as number, score);
  }
  if (scores.size !== count || results.length !== count) {
    throw new Error(`${count} passages were sent but ${results.length} scores for ${scores.size} of them came back`);
  }
  return Array.from({ length: count }, (_, i) => scores.get(i)!);
}

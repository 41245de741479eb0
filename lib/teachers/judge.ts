import type { Endpoint, EndpointOptions } from '../http/endpoint.js';
import type { BudgetLimits } from './budget.js';
import { fillPrompt, JUDGE_PROMPT, readGrade } from './grades.js';
import { askServer, estimateTokens, noteOf, openEndpoint, type Piece, tokensOf, withPath } from './remote.js';
import type { Teacher, TeacherRequest, TeacherScores, TeacherWork } from './teacher.js';

/** An LLM that grades passages, behind an endpoint that speaks OpenAI's chat completions. */
export interface JudgeChoice extends EndpointOptions, BudgetLimits {
  kind: 'llm';
  /** The base address, such as `http://localhost:8000/v1`. */
  url: string;
  /** The model's name. */
  model: string;
  /** The highest grade, 1 to 9; the lowest is 0. Default 3. */
  topGrade?: number;
  /** The text of the question, with `{query}` and `{passage}` in it, and perhaps `{top}`. */
  prompt?: string;
  /** Whether to ask for log-probabilities, which make fine scores of coarse grades. Default true. */
  logprobs?: boolean;
  /** Tokens of an answer, at most. Default 16. */
  answerTokens?: number;
  /** Further fields of the request's body, such as `{"reasoning_effort": "none"}`; null takes a field out. */
  body?: Record<string, unknown>;
}

/** One question per pair. Its score is the grade, or the expected grade where the server gives log-probabilities. */
export class JudgeTeacher implements Teacher {
  readonly name: string;
  readonly #choice: JudgeChoice;
  readonly #endpoint: Endpoint;

  /**
   * @throws InvalidArgumentError for an option that cannot be
   * @throws ListwiseError INVALID_ARGUMENT if the environment lacks the key
   */
  constructor(choice: JudgeChoice) {
    this.#choice = choice;
    const { url, keyVariable = keyVariableOf(url) } = choice;
    this.#endpoint = openEndpoint({ ...choice, keyVariable, url: withPath(url, '/chat/completions') });
    this.name = `llm ${choice.model}`;
  }

  get note(): string | undefined {
    return noteOf(this.#endpoint);
  }

  score(
    requests: Iterable<TeacherRequest> | AsyncIterable<TeacherRequest>,
    work: TeacherWork = {},
  ): AsyncIterable<TeacherScores> {
    const ask = (piece: Piece, signal?: AbortSignal) => this.#ask(piece, signal);
    return askServer(requests, { endpoint: this.#endpoint, batchSize: 1, limits: this.#choice, ask }, work);
  }

  async #ask(piece: Piece, signal?: AbortSignal): Promise<TeacherScores> {
    const { topGrade = 3 } = this.#choice;
    const { id } = piece.passages[0]!;
    const read = (reply: unknown): TeacherScores => {
      const grade = readGrade(reply, topGrade);
      const tokens = tokensOf(reply);
      return {
        query: piece.query.id,
        passages: grade === undefined ? [] : [{ id, score: grade }],
        ...(grade === undefined && { unscored: [id] }),
        ...(tokens > 0 && { tokens }),
      };
    };
    return this.#endpoint.post(this.#body(piece), { read, tokens: estimateTokens(piece), signal });
  }

  #body({ query, passages }: Piece): object {
    const { model, topGrade = 3, prompt = JUDGE_PROMPT, logprobs = true, answerTokens = 16, body } = this.#choice;
    const content = fillPrompt(prompt, { query: query.text, passage: passages[0]!.text, top: String(topGrade) });
    const fields = {
      ...{ model, messages: [{ role: 'user', content }], temperature: 0, max_tokens: answerTokens },
      ...(logprobs && { logprobs: true, top_logprobs: 20 }),
      ...body,
    };
    return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
  }
}

/** A key goes out unasked only to those whose key it is. */
function keyVariableOf(url: string): string | undefined {
  return new URL(url).hostname === 'api.openai.com' ? 'OPENAI_API_KEY' : undefined;
}

import type { TokenUse } from './journal.js';
import type { SettledLlm } from './llm-options.js';

/** Tokens of a text as far as one can tell without the model's own tokeniser: a token is about 4 bytes of UTF-8. */
export function roughTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 4) + CHAT_FRAME;
}

/** Tokens that chat formats put around a message. */
const CHAT_FRAME = 8;

/** What was spent, in the currency of the prices. */
export interface Spent {
  requests: number;
  promptTokens: number;
  completionTokens: number;
  /** Absent where no prices were given. */
  cost?: number;
}

interface Price {
  input: number;
  output: number;
}

/**
 * Counts what replies cost, and holds a budget. A request reserves the most it can use before it begins, so the budget
 * is kept whatever runs at the same time, but for the error of `roughTokens`.
 */
export class Spending {
  readonly #limits: { cost: number; tokens: number; requests: number };
  readonly #prices = new Map<string, Price>();
  readonly #spent = { requests: 0, promptTokens: 0, completionTokens: 0, cost: 0 };
  readonly #reserved = { requests: 0, tokens: 0, cost: 0 };
  #waiting: (() => void)[] = [];

  constructor({ endpoints, maxCost, maxTotalTokens, maxRequests }: SettledLlm) {
    const unlimited = Number.POSITIVE_INFINITY;
    const [cost, tokens, requests] = [maxCost ?? unlimited, maxTotalTokens ?? unlimited, maxRequests ?? unlimited];
    this.#limits = { cost, tokens, requests };
    for (const { model, inputPrice, outputPrice } of endpoints) {
      if (inputPrice === undefined && outputPrice === undefined) continue;
      if (!this.#prices.has(model)) this.#prices.set(model, { input: inputPrice ?? 0, output: outputPrice ?? 0 });
    }
  }

  get spent(): Spent {
    const { cost, ...rest } = this.#spent;
    return { ...rest, ...(this.#prices.size > 0 && { cost }) };
  }

  /** The price of tokens of a model; 0 where it has none. */
  costOf(model: string, { prompt, completion }: TokenUse): number {
    const { input, output } = this.#prices.get(model) ?? { input: 0, output: 0 };
    return (prompt * input + completion * output) / 1e6;
  }

  /**
   * Sets aside what a request may use. Where that is too much only because of what others have set aside, waits for
   * these, since they mostly use less.
   * @returns a function that gives it back, with what was really used if there was a reply; undefined if the budget
   *   does not allow the request
   */
  async reserve(model: string, most: TokenUse): Promise<((used?: TokenUse) => void) | undefined> {
    for (;;) {
      const settle = this.#tryReserve(model, most);
      if (settle || this.#reserved.requests === 0) return settle;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Counts what a request may use as spent at once, if the budget allows it. */
  take(model: string, most: TokenUse): boolean {
    const settle = this.#tryReserve(model, most);
    settle?.(most);
    return settle !== undefined;
  }

  #tryReserve(model: string, most: TokenUse): ((used?: TokenUse) => void) | undefined {
    const cost = this.costOf(model, most);
    const tokens = most.prompt + most.completion;
    const [limits, spent, reserved] = [this.#limits, this.#spent, this.#reserved];
    const allTokens = spent.promptTokens + spent.completionTokens + reserved.tokens + tokens;
    const isOver =
      spent.cost + reserved.cost + cost > limits.cost ||
      allTokens > limits.tokens ||
      spent.requests + reserved.requests + 1 > limits.requests;
    if (isOver) return undefined;
    const change = (sign: 1 | -1) => {
      reserved.cost += sign * cost;
      reserved.tokens += sign * tokens;
      reserved.requests += sign;
    };
    change(1);
    return (used) => {
      change(-1);
      if (used) this.add(model, used);
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const wake of waiting) wake();
    };
  }

  add(model: string, used: TokenUse): void {
    this.#spent.requests += 1;
    this.#spent.promptTokens += used.prompt;
    this.#spent.completionTokens += used.completion;
    this.#spent.cost += this.costOf(model, used);
  }

  /** Which limit is near, in words. */
  limitsInWords(): string {
    const { cost, tokens, requests } = this.#limits;
    const words = [
      Number.isFinite(cost) && `a cost of ${cost} (llmMaxCost)`,
      Number.isFinite(tokens) && `${tokens} tokens (llmMaxTotalTokens)`,
      Number.isFinite(requests) && `${requests} requests (llmMaxRequests)`,
    ];
    return words.filter(Boolean).join(', ');
  }
}

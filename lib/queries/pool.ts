import { RemoteError } from '../errors.js';
import { LlamaWriter } from './llama-writer.js';
import type { SettledLlm } from './llm-options.js';
import { OpenAiWriter } from './openai-writer.js';
import type { ChatBody } from './request.js';
import type { Completion, Writer } from './writer.js';

/** How long an endpoint that failed for good is passed over while others of its model work, in milliseconds. */
const REST = 60_000;

interface Member {
  writer: Writer;
  /** Requests that are with it now. */
  outstanding: number;
  /** Until when others are asked first. */
  restsUntil: number;
}

/** Endpoints that share the work. A request goes to the one with the most room among those that have its model. */
export class WriterPool implements AsyncDisposable {
  /** Requests that can be under way at most. */
  readonly concurrency: number;
  readonly #members: Member[];

  constructor(writers: readonly Writer[]) {
    this.#members = writers.map((writer) => ({ writer, outstanding: 0, restsUntil: 0 }));
    this.concurrency = writers.reduce((sum, { pacer }) => sum + pacer.concurrency, 0);
  }

  /** @throws ListwiseError INVALID_ARGUMENT where a key is missing */
  static open(settings: SettledLlm): WriterPool {
    return new WriterPool(
      settings.endpoints.map((endpoint) =>
        endpoint.gguf === undefined ? new OpenAiWriter(endpoint, settings) : new LlamaWriter(endpoint),
      ),
    );
  }

  /** Requests that failed and were tried again, so far. */
  get retries(): number {
    return this.#members.reduce((sum, { writer }) => sum + writer.pacer.retries, 0);
  }

  /**
   * Asks the body's model, at each of its endpoints in turn until one answers.
   * @param work.tokens what the request may use, for limits by the minute
   * @throws RemoteError of the last endpoint if none answers; `signal.reason` when aborted
   */
  async ask(body: ChatBody, work: { tokens: number; signal: AbortSignal }): Promise<Completion> {
    const { tokens, signal } = work;
    const tried = new Set<Member>();
    for (;;) {
      const member = this.#choose(body.model, tried);
      tried.add(member);
      member.outstanding += 1;
      try {
        return await member.writer.pacer.run(() => member.writer.complete(body, signal), { tokens, signal });
      } catch (error) {
        const isLast = this.#members.every((other) => other.writer.model !== body.model || tried.has(other));
        if (isLast || !(error instanceof RemoteError) || error.failure === 'refused') throw error;
        member.restsUntil = Date.now() + REST;
      } finally {
        member.outstanding -= 1;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { writer } of this.#members) await writer[Symbol.asyncDispose]();
  }

  #choose(model: string, tried: ReadonlySet<Member>): Member {
    const now = Date.now();
    const load = ({ outstanding, restsUntil, writer }: Member) =>
      restsUntil > now ? Number.POSITIVE_INFINITY : outstanding / writer.pacer.allowed;
    const able = this.#members.filter((member) => member.writer.model === model && !tried.has(member));
    return able.reduce((best, member) => (load(member) < load(best) ? member : best));
  }
}

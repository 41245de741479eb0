import { ListwiseError, NativeError } from '../errors.js';
import {
  type AnyLosses,
  type BatchArgs,
  type NativeEncoder,
  type NativeTrainer,
  native,
  type OptimizerOptions,
  type PairBatchArgs,
  type PairStepArgs,
  runJob,
  type StepArgs,
  type StepFacts,
  type TrainerMemory,
} from '../native.js';

export interface WatchOptions {
  signal?: AbortSignal;
  /** Called a few times a second while the work runs, with the share of it that is done, from 0 to 1. */
  onShare?: (share: number) => void;
  /** For the message, should a number not be finite: what was computed, and the ids of the queries in it. */
  what: string;
  queryIds: () => string[];
}

/** A loss or a gradient was not finite. */
export class NotFiniteError extends ListwiseError {
  /** @param queryIds the queries of the batch */
  constructor(
    problem: string,
    remedy: string,
    readonly queryIds: string[],
    options?: ErrorOptions,
  ) {
    const shown = queryIds.slice(0, 5).join(', ');
    const more = queryIds.length > 5 ? `, and ${queryIds.length - 5} more (all are in log.jsonl)` : '';
    super(
      'NOT_FINITE',
      `${problem}. Checkpoints and weights that were saved before are as they were. Try ${remedy}, and look at the ` +
        `batch's queries: ${shown}${more}.`,
      options,
    );
  }
}

const POLL_MS = 250;

/** A native trainer that reports how far each piece of work is, and refuses results that are not finite. */
export class WatchedTrainer {
  readonly #trainer: NativeTrainer;
  readonly #remedy: string;

  /** @param remedy what to try where numbers are not finite, for the message */
  constructor(encoder: NativeEncoder, optimizer: OptimizerOptions, remedy: string) {
    this.#trainer = native().createTrainer(encoder, optimizer);
    this.#remedy = remedy;
  }

  /**
   * One step. It resolves wherever the weights were changed and all is finite, also where an abort came too late to
   * prevent that: whoever stops must count this step first.
   */
  step(args: StepArgs | PairStepArgs, watch: WatchOptions): Promise<StepFacts & AnyLosses> {
    return this.#watch(() => this.#trainer.step(args), watch);
  }

  async evaluate(args: BatchArgs | PairBatchArgs, watch: WatchOptions): Promise<AnyLosses> {
    const losses = await this.#watch(() => this.#trainer.evaluate(args), watch);
    watch.signal?.throwIfAborted();
    return losses;
  }

  /** Steps that the weights and moments have behind them. */
  get steps(): number {
    return this.#trainer.steps;
  }

  /** Writes the optimiser's moments. Not before the first step. */
  saveState(file: string): Promise<void> {
    return runJob(() => this.#trainer.saveState({ file }));
  }

  /** Takes over the moments that saveState wrote. */
  loadState(file: string): Promise<void> {
    return runJob(() => this.#trainer.loadState({ file }));
  }

  /** What the memory of a step is made of. */
  memory(): TrainerMemory {
    return this.#trainer.memory();
  }

  dispose(): void {
    this.#trainer.dispose();
  }

  async #watch<T extends object>(start: Parameters<typeof runJob<T>>[0], watch: WatchOptions): Promise<T> {
    const { signal, what, queryIds } = watch;
    const stop = new AbortController();
    const unlink = passOn(signal, stop);
    const before = this.#trainer.progress();
    let failure: { error: unknown } | undefined;
    // Thrown inside a timer, an error of onShare would end the process.
    const timer = setInterval(() => {
      try {
        this.#report(watch, before);
      } catch (error) {
        clearInterval(timer);
        failure = { error };
        stop.abort(error);
      }
    }, POLL_MS);
    try {
      const result = await runJob(start, stop.signal);
      if (failure) throw failure.error;
      const wrong = Object.entries(result).find(([, value]) => !Number.isFinite(value));
      if (!wrong) return result;
      throw new NotFiniteError(`${what} stopped: ${wrong[0]} is ${wrong[1]}`, this.#remedy, queryIds());
    } catch (error) {
      if (!(error instanceof NativeError) || error.code !== 'NOT_FINITE') throw error;
      const problem = `${what} stopped: ${error.message.replace(/\.$/, '')}`;
      throw new NotFiniteError(problem, this.#remedy, queryIds(), { cause: error });
    } finally {
      clearInterval(timer);
      unlink();
    }
  }

  /** @param before what the trainer counted before this work, and counts until it has put the batch together */
  #report({ onShare }: WatchOptions, before: { done: number; total: number }): void {
    const { done, total } = this.#trainer.progress();
    const isBegun = done !== before.done || total !== before.total;
    if (isBegun && total > 0) onShare?.(Math.min(1, done / total));
  }
}

/** Aborts `to` when `from` does. The result takes the link off again: `from` may outlive thousands of steps. */
function passOn(from: AbortSignal | undefined, to: AbortController): () => void {
  const abort = () => to.abort(from?.reason);
  if (from?.aborted) abort();
  from?.addEventListener('abort', abort, { once: true });
  return () => from?.removeEventListener('abort', abort);
}

/** Without `every`, a checkpoint is due after this long, in seconds. */
const INTERVAL = 600;
/** Work that an abort would lose is worth a checkpoint from this long on, in seconds. */
const WORTH_KEEPING = 30;
/** Where the user set no interval, checkpoints take at most a tenth of the time. */
const SHARE = 0.1;

/**
 * When checkpoints are written: every so many steps and at each epoch's end; or, if no number of steps is given, at
 * each epoch's end and every ten minutes, but not so often that it takes more than a tenth of the time. When they are
 * written does not change what a run gives.
 */
export class CheckpointSchedule {
  readonly #every: number | undefined;
  readonly #now: () => number;
  #ended: number;
  #cost = 0;

  /** @param now a clock, in milliseconds */
  constructor(every: number | undefined, now: () => number = () => performance.now()) {
    this.#every = every;
    this.#now = now;
    this.#ended = now();
  }

  /** @param step steps taken; at step 0 a checkpoint costs nothing, for the weights are the base model's */
  isDue(step: number, hasEpochEnded: boolean): boolean {
    if (step === 0) return true;
    if (this.#every !== undefined) return hasEpochEnded || step % this.#every === 0;
    const affordable = this.#since() >= this.#cost * (1 / SHARE - 1);
    return affordable && (hasEpochEnded || this.#since() >= INTERVAL);
  }

  /** Whether enough was done since the last checkpoint to write one before an abort. */
  isWorthKeeping(): boolean {
    return this.#since() >= WORTH_KEEPING;
  }

  /** Runs `write`, and remembers when and how long. */
  async keep(write: () => Promise<void>): Promise<void> {
    const started = this.#now();
    await write();
    this.#ended = this.#now();
    this.#cost = (this.#ended - started) / 1000;
  }

  #since(): number {
    return (this.#now() - this.#ended) / 1000;
  }
}

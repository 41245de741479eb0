import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint } from './checkpoints.js';
import type { Trainee, WholeWeights } from './trainee.js';

/** What a process that was killed while it replaced model/ or training.json leaves beside them. */
const REMAINS = /^(\.model\.\d+\.(tmp|old)|training\.json\.\d+-\d+\.tmp)$/;

/** The model directory of a run: the best weights so far. */
export class KeptModel {
  readonly directory: string;
  readonly #trainee: Trainee;
  readonly #output: string;
  readonly #signal: AbortSignal | undefined;
  #isThere = false;

  constructor(trainee: Trainee, output: string, signal: AbortSignal | undefined) {
    this.#trainee = trainee;
    this.#output = output;
    this.#signal = signal;
    this.directory = join(output, 'model');
  }

  get weights(): WholeWeights {
    return this.#trainee.wholeWeights(this.directory, this.#signal);
  }

  /** Stores the weights as they are now: the first time the whole directory, later the weights in it. */
  async keep(): Promise<void> {
    if (this.#isThere) await this.#trainee.writeWeights(this.directory, { signal: this.#signal });
    else await this.#save();
  }

  /** The best weights as they were at a checkpoint: those that model/ holds may be of a later step. */
  async restore({ best, state }: Checkpoint): Promise<void> {
    // At step 0 the best weights are those that the model has.
    if (best !== undefined || state.evaluations.length > 0) await this.#save(best);
  }

  async #save(weights?: string): Promise<void> {
    for (const name of await readdir(this.#output)) {
      if (REMAINS.test(name)) await rm(join(this.#output, name), { recursive: true, force: true });
    }
    await this.#trainee.save(this.directory, { weights, signal: this.#signal });
    this.#isThere = true;
  }
}

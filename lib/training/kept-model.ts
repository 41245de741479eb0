import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EmbeddingModel } from '../models/model.js';
import { saveModel } from '../models/saved-model.js';
import { wholeWeights, writeWeights } from '../models/weights.js';
import type { Checkpoint } from './checkpoints.js';

const CARD =
  '# Sentence embeddings, trained for one corpus\n\nTrained by listwise distillation from a teacher with listwise: ' +
  'the weights of the lowest loss on held-out lists, or the last ones where none were given. `../training.json` and ' +
  '`../log.jsonl` of the run say how.';

/** What a process that was killed while it replaced model/ or training.json leaves beside them. */
const REMAINS = /^(\.model\.\d+\.(tmp|old)|training\.json\.\d+-\d+\.tmp)$/;

/** The model directory of a run: the best weights so far. */
export class KeptModel {
  readonly directory: string;
  readonly #model: EmbeddingModel;
  readonly #output: string;
  readonly #signal: AbortSignal | undefined;
  #isThere = false;

  constructor(model: EmbeddingModel, output: string, signal: AbortSignal | undefined) {
    this.#model = model;
    this.#output = output;
    this.#signal = signal;
    this.directory = join(output, 'model');
  }

  /** The weights as one file, which is replaced and never written in place, or how to write them as one. */
  get weights(): { file: string } | ((file: string) => Promise<void>) {
    return wholeWeights(this.#model, this.directory, this.#signal);
  }

  /** Stores the model's weights as they are now: the first time the whole directory, later the weights in it. */
  async keep(): Promise<void> {
    if (this.#isThere) await writeWeights(this.#model, this.directory, { signal: this.#signal });
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
    await saveModel(this.#model, this.directory, { card: CARD, weights, signal: this.#signal });
    this.#isThere = true;
  }
}

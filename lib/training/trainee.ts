import { type EmbeddingModel, replaceWeights } from '../models/model.js';
import { saveModel } from '../models/saved-model.js';
import { weightsFile, wholeWeights, writeWeights } from '../models/weights.js';
import type { NativeEncoder } from '../native.js';

/** Weights as one file, which is replaced and never written in place, or how to write them as one. */
export type WholeWeights = { file: string } | ((file: string) => Promise<void>);

export interface KeepOptions {
  /** A file that save() of the encoder wrote, to take in place of the weights as they are now. */
  weights?: string;
  signal?: AbortSignal;
}

/** What is trained, as the loop, checkpoints and the kept model see it: an embedding model or a cross-encoder. */
export interface Trainee {
  /** Its weights in the addon; another object once weights were replaced. */
  readonly encoder: NativeEncoder;
  /** Takes weights from a file that save() of this encoder wrote. */
  replaceWeights(file: string, signal?: AbortSignal): Promise<void>;
  /** Saves it whole to a directory: configuration, tokeniser, card and weights. */
  save(directory: string, options: KeepOptions): Promise<void>;
  /** Replaces the weights, and only these, of a directory that save() wrote. */
  writeWeights(directory: string, options: KeepOptions): Promise<void>;
  /** The weights of a directory that save() wrote. */
  wholeWeights(directory: string, signal?: AbortSignal): WholeWeights;
  /** Where such a directory has the transformer's weights. */
  weightsFile(directory: string): string;
}

const CARD =
  '# Sentence embeddings, trained for one corpus\n\nTrained by listwise distillation from a teacher with listwise: ' +
  'the weights of the lowest loss on held-out lists, or the last ones where none were given. `../training.json` and ' +
  '`../log.jsonl` of the run say how.';

/** An embedding model as what is trained. */
export function embedderTrainee(model: EmbeddingModel): Trainee {
  return {
    get encoder() {
      return model.encoder;
    },
    replaceWeights: (file, signal) => replaceWeights(model, file, signal),
    save: (directory, options) => saveModel(model, directory, { card: CARD, ...options }),
    writeWeights: (directory, options) => writeWeights(model, directory, options),
    wholeWeights: (directory, signal) => wholeWeights(model, directory, signal),
    weightsFile: (directory) => weightsFile(model, directory),
  };
}

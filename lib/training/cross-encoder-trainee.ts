import { type CrossEncoderModel, scoringSpec } from '../models/cross-encoder.js';
import { saveCrossEncoder, scorerWeightsFile, writeScorerWeights } from '../models/saved-cross-encoder.js';
import { type Device, native, runJob } from '../native.js';
import type { Trainee } from './trainee.js';

const CARD =
  '# A cross-encoder, trained for one corpus\n\nTrained on labelled lists with listwise: the weights of the lowest loss ' +
  'on held-out lists, or the last ones where none were given. `../training.json` and `../log.jsonl` of the run say how.';

/** A cross-encoder as what is trained. */
export function crossEncoderTrainee(model: CrossEncoderModel): Trainee {
  return {
    get encoder() {
      return model.encoder;
    },
    replaceWeights: (file, signal) => replaceWeights(model, file, signal),
    save: (directory, options) => saveCrossEncoder(model, directory, { card: CARD, ...options }),
    writeWeights: (directory, options) => writeScorerWeights(model, directory, options),
    // Its head's weights are in the transformer's own file.
    wholeWeights: (directory) => ({ file: scorerWeightsFile(model, directory) }),
    weightsFile: (directory) => scorerWeightsFile(model, directory),
  };
}

async function replaceWeights(model: CrossEncoderModel, file: string, signal?: AbortSignal): Promise<void> {
  const { device, precision } = model.encoder;
  model.encoder.dispose();
  const spec = { ...scoringSpec(model.directory), files: [file], device: device as Device, precision };
  model.encoder = await runJob(() => native().loadEncoder(spec), signal);
}

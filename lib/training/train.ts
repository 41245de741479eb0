import { join } from 'node:path';
import { InvalidArgumentError } from '../errors.js';
import { hashModel } from '../hashes.js';
import { type EmbeddingModel, loadModel } from '../models/model.js';
import { checkOutside, checkSaveTarget } from '../models/save-target.js';
import { HumanDev } from './human-dev.js';
import { type FoundTemperature, listwiseObjective } from './listwise-objective.js';
import { type SettledOptions, settleOptions, type TrainingOptions } from './options.js';
import type { TrainingResult } from './result.js';
import { runTraining, withOutput } from './run.js';
import { type NamedSource, settleSources } from './sources.js';
import { openTrainingData, TokenStore } from './token-store.js';
import { embedderTrainee } from './trainee.js';
import { hasDev } from './training-set.js';

/**
 * Trains an embedding model on lists of passages with teacher scores: listwise distillation (KL from teacher to
 * student, arXiv 2502.19712) with a little InfoNCE, over whole batches, AdamW, early stopping on dev.
 *
 * Writes into `output`: model/ (the weights of the lowest dev loss, or the last ones without dev), log.jsonl (a line a
 * step and an evaluation), training.json at the end, and until then checkpoints/. A run that was stopped in whatever
 * way goes on from its last checkpoint when it is started again with the same options, and gives the same bits on the
 * same machine with the same number of threads.
 * @throws InvalidArgumentError for an option that is unknown or cannot be
 * @throws NotFoundError, DataError, ModelError for files; NotFiniteError if a loss or gradient is not finite
 * @throws ListwiseError BUSY if another process trains into `output`
 * @throws `signal.reason` when aborted; what model/ holds by then is whole
 */
export async function trainListwise(options: TrainingOptions): Promise<TrainingResult> {
  const started = performance.now();
  const settled = settleOptions(options);
  const { device, precision, pooling, queryPrefix, passagePrefix, revision, signal, onProgress } = settled;
  const model = await loadModel(settled.model, {
    ...{ device, precision, pooling, queryPrefix, passagePrefix, revision, signal, onProgress },
    normalize: true,
  });
  try {
    // The model is saved late: that it cannot be must not show only then, nor after it replaced its own base.
    const [place, base] = [join(settled.output, 'model'), model.directory.directory];
    await checkOutside(place, base, 'output/model');
    await checkSaveTarget(place, base, 'output/model');
    const sources = settleSources(settled);
    const lengths = settleLengths(settled, model);
    return await withOutput(settled.output, () => train({ model, options: settled, sources, lengths, started }));
  } finally {
    model.encoder.dispose();
  }
}

interface EmbedderRun {
  model: EmbeddingModel;
  options: SettledOptions;
  sources: NamedSource[];
  lengths: ReturnType<typeof settleLengths>;
  started: number;
}

async function train({ model, options, sources, lengths, started }: EmbedderRun): Promise<TrainingResult> {
  const modelHash = await hashModel(model.directory.directory, options.signal);
  const store = new TokenStore(join(options.output, 'tokens'));
  await using data = await openTrainingData(model, sources, { ...options, ...lengths, modelHash, store });
  if (options.devData !== undefined && !hasDev(data)) {
    const expected = 'lists for dev beside devData, which is measured where their losses are,';
    throw new InvalidArgumentError('dev', expected, undefined);
  }
  const human = await HumanDev.open(model, { ...options, ...lengths });
  const { queryPrefix, passagePrefix, pooling } = model.settings;
  const settings = { queryPrefix, passagePrefix, pooling, precision: model.encoder.precision };
  const result = await runTraining({
    ...{ trainee: embedderTrainee(model), base: { modelHash, settings, human }, data, human, store, options, started },
    objective: (found) => listwiseObjective(model, data, options, found as FoundTemperature | undefined),
  });
  return result as TrainingResult;
}

/** Defaults are cut to the length that the model is made for; what the caller asked for is refused if it cannot be read. */
function settleLengths(
  { queryMaxLength, passageMaxLength }: SettledOptions,
  { settings, tokenizer }: EmbeddingModel,
): { queryMaxLength: number; passageMaxLength: number } {
  const lengths = {
    queryMaxLength: queryMaxLength ?? Math.min(64, settings.queryMaxLength),
    passageMaxLength: passageMaxLength ?? Math.min(512, settings.maxLength),
  };
  tokenizer.checkMaxLength(lengths.queryMaxLength, 'queryMaxLength');
  tokenizer.checkMaxLength(lengths.passageMaxLength, 'passageMaxLength');
  return lengths;
}

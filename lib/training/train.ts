import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeLines } from '../formats/atomic.js';
import { writing } from '../formats/writing.js';
import { type EmbeddingModel, loadModel } from '../models/model.js';
import { checkOutside, checkSaveTarget } from '../models/save-target.js';
import { saveModel, saveWeights } from '../models/saved-model.js';
import type { LossOptions } from '../native.js';
import { matchTeacher } from './base-entropy.js';
import { type EvaluationRecord, TrainingLog } from './log.js';
import { type StopReason, TrainingLoop, type TrainingState } from './loop.js';
import { type SettledOptions, settleOptions, type TrainingOptions } from './options.js';
import { planSteps, type StepPlan } from './schedule.js';
import type { TemperatureMatch } from './temperature.js';
import { readTrainingData, type TrainingData } from './training-set.js';

/** What a run gave; training.json holds the same, with the options. */
export interface TrainingResult {
  /** The trained model, in sentence-transformers' layout. */
  directory: string;
  /** Steps taken. */
  steps: number;
  stopped: StopReason;
  /** Teacher temperature used, and how it was found if it was matched. */
  teacherTemperature: number;
  temperatureMatch?: TemperatureMatch;
  /** Losses on dev: the base model, the weights that were kept, and every evaluation. Absent without dev. */
  base?: EvaluationRecord;
  best?: EvaluationRecord;
  evaluations: EvaluationRecord[];
  lists: { train: number; dev: number; listLength: number; passages: number };
  plan: StepPlan;
  seconds: number;
}

/**
 * Trains an embedding model on lists of passages with teacher scores: listwise distillation (KL from teacher to
 * student, arXiv 2502.19712) with a little InfoNCE, over whole batches, AdamW, early stopping on dev.
 *
 * Writes into `output`: model/ (the weights of the lowest dev loss, or the last ones without dev), log.jsonl (a line a
 * step and an evaluation) and training.json.
 * @throws InvalidArgumentError for an option that is unknown or cannot be
 * @throws NotFoundError, DataError, ModelError for files; NotFiniteError if a loss or gradient is not finite
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
    const data = await readTrainingData(model, { ...settled, ...settleLengths(settled, model) });
    const result = await train(model, data, settled);
    const whole = { ...result, seconds: (performance.now() - started) / 1000 };
    await writeSummary(settled, whole);
    return whole;
  } finally {
    model.encoder.dispose();
  }
}

/** Defaults are cut to what the model can read; what the caller asked for is refused if it cannot. */
function settleLengths(
  { queryMaxLength, passageMaxLength }: SettledOptions,
  { directory, tokenizer }: EmbeddingModel,
): { queryMaxLength: number; passageMaxLength: number } {
  const { maxPositions } = directory.architecture;
  const lengths = {
    queryMaxLength: queryMaxLength ?? Math.min(64, maxPositions),
    passageMaxLength: passageMaxLength ?? Math.min(512, maxPositions),
  };
  tokenizer.checkMaxLength(lengths.queryMaxLength, 'queryMaxLength');
  tokenizer.checkMaxLength(lengths.passageMaxLength, 'passageMaxLength');
  return lengths;
}

async function train(
  model: EmbeddingModel,
  data: TrainingData,
  options: SettledOptions,
): Promise<Omit<TrainingResult, 'seconds'>> {
  const directory = join(options.output, 'model');
  const match =
    options.teacherTemperature === 'match'
      ? await matchTeacher(model, data, { ...options, lists: options.temperatureLists })
      : undefined;
  const loss = lossOptions(options, match?.temperature ?? (options.teacherTemperature as number));
  const plan = planSteps({ ...options, lists: data.train.size });
  const summary = join(options.output, 'training.json');
  await writing(summary, () => rm(summary, { force: true }));
  await using log = await TrainingLog.create(join(options.output, 'log.jsonl'));
  await log.write({ kind: 'start', ...plan, ...loss, ...(match && { temperatureMatch: match }) });
  const keepWeights = weightKeeper(model, directory, options);
  const loop = new TrainingLoop({ model, data, options, loss, plan, log, keepWeights });
  try {
    const state = await loop.run();
    if (!data.dev) await keepWeights();
    return describeResult(state, { directory, data, plan, loss, match });
  } finally {
    loop.dispose();
  }
}

function lossOptions(options: SettledOptions, teacherTemperature: number): LossOptions {
  const { studentTemperature, contrastiveTemperature, contrastiveWeight, listwiseWeight, maskThreshold } = options;
  return {
    ...{ studentTemperature, teacherTemperature, contrastiveTemperature },
    ...{ contrastiveWeight, listwiseWeight, maskThreshold },
  };
}

/** The first call writes the whole directory; later ones replace the weights in it. */
function weightKeeper(model: EmbeddingModel, directory: string, options: SettledOptions): () => Promise<void> {
  const card =
    '# Sentence embeddings, trained for one corpus\n\nTrained by listwise distillation from a teacher with listwise: ' +
    'the weights of the lowest loss on held-out lists, or the last ones where none were given. `../training.json` and ' +
    '`../log.jsonl` of the run say how.';
  let isThere = false;
  return async () => {
    if (isThere) await saveWeights(model, directory, options.signal);
    else await saveModel(model, directory, { card, signal: options.signal });
    isThere = true;
  };
}

function describeResult(
  state: TrainingState,
  facts: {
    directory: string;
    data: TrainingData;
    plan: StepPlan;
    loss: LossOptions;
    match: TemperatureMatch | undefined;
  },
): Omit<TrainingResult, 'seconds'> {
  const { directory, data, plan, loss, match } = facts;
  const { evaluations, earlyStopping } = state;
  return {
    directory,
    steps: state.step,
    stopped: state.stopped!,
    teacherTemperature: loss.teacherTemperature,
    ...(match && { temperatureMatch: match }),
    base: evaluations[0],
    best: evaluations.find((one) => one.step === earlyStopping.bestStep),
    evaluations,
    lists: {
      train: data.train.size,
      dev: data.dev?.size ?? 0,
      listLength: data.train.listLength,
      passages: data.passages.offsets.length - 1,
    },
    plan,
  };
}

async function writeSummary(options: SettledOptions, result: TrainingResult): Promise<void> {
  const { signal: _, onProgress: __, onStep: ___, lists, dev, corpus, ...plain } = options;
  const source = (value: unknown) =>
    typeof value === 'string' ? value : Array.isArray(value) ? value.length : undefined;
  const summary = {
    options: { ...plain, lists: source(lists), dev: source(dev), corpus: source(corpus) },
    ...result,
  };
  const file = join(options.output, 'training.json');
  await writeLines(file, [JSON.stringify(summary, null, 2)]);
}

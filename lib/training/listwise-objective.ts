import type { EmbeddingModel } from '../models/model.js';
import type { LossOptions } from '../native.js';
import { matchTeacher } from './base-entropy.js';
import { makeBatch } from './batches.js';
import type { Found, Objective } from './objective.js';
import type { SettledOptions } from './options.js';
import type { TrainingData } from './training-set.js';

/** What such a run finds out before its first step. */
export type FoundTemperature = Found & { teacherTemperature: number };

/**
 * Listwise distillation with a little InfoNCE, of an embedding model.
 * @param found what the run found out when it began, where it goes on
 */
export async function listwiseObjective(
  model: EmbeddingModel,
  data: TrainingData,
  options: SettledOptions,
  found?: FoundTemperature,
): Promise<Objective> {
  const { teacherTemperature, temperatureMatch: match } = found ?? (await findTemperature(model, data, options));
  const loss = lossOptions(options, teacherTemperature);
  const temperatureMatch = match ? { temperatureMatch: match } : {};
  const { pooling } = model.settings;
  return {
    make: makeBatch,
    argsOf: ({ queries, passages, rows, teacher, listLength }) => ({
      ...{ queries, passages, rows, teacher, listLength, pooling, loss },
    }),
    facts: { ...loss, ...temperatureMatch },
    found: { teacherTemperature, ...temperatureMatch },
    remedy: 'a lower learningRate or a higher contrastiveTemperature',
  };
}

async function findTemperature(
  model: EmbeddingModel,
  data: TrainingData,
  options: SettledOptions,
): Promise<FoundTemperature> {
  const { teacherTemperature, temperatureLists: lists } = options;
  if (teacherTemperature !== 'match') return { teacherTemperature };
  const match = await matchTeacher(model, data, { ...options, lists });
  return { teacherTemperature: match.temperature, temperatureMatch: match };
}

function lossOptions(options: SettledOptions, teacherTemperature: number): LossOptions {
  const { studentTemperature, contrastiveTemperature, contrastiveWeight, listwiseWeight, maskThreshold } = options;
  return {
    ...{ studentTemperature, teacherTemperature, contrastiveTemperature },
    ...{ contrastiveWeight, listwiseWeight, maskThreshold },
  };
}

import { join } from 'node:path';
import type { Json } from '../hashes.js';
import { measureEntropies } from '../lists/entropies.js';
import { writeLists } from '../lists/file.js';
import { studentScores } from '../specialize/lists-stage.js';
import type { Stage } from '../specialize/stage-runner.js';
import { countsOf, stepsInWords, trainingOptions, trainingSources } from '../specialize/training-stages.js';
import { hashesOf, type Workbench } from '../specialize/workbench.js';
import { TRAINING_DEFAULTS, undecisiveOptions } from '../training/options.js';
import type { TemperatureMatch } from '../training/temperature.js';
import { trainListwise } from '../training/train.js';
import type { TrainingList } from '../types.js';
import { VARIANT_FILES, variantFile, variantFolder } from './files.js';
import type { SettledStudy } from './options.js';
import type { StudyLists } from './pools.js';
import { type Variant, weightsOf } from './variants.js';

/** What the stages of a study work with. */
export interface StudyParts {
  bench: Workbench;
  study: SettledStudy;
}

/** A variant with one seed. */
export interface Trial {
  variant: Variant;
  seed: number;
}

/** The stage's name in events and the manifest. */
export function trainingName({ variant, seed }: Trial): string {
  return `train.${variant.name}.${seed}`;
}

/**
 * A variant's model, trained on its part of the shared lists: variants/<name>/seed-<seed>/model.
 * @param lists absent in a plan that is made before there are any
 */
export async function trialTraining(
  { bench, study }: StudyParts,
  trial: Trial,
  lists?: StudyLists,
): Promise<Stage<string>> {
  const { options, directory } = bench;
  const { variant, seed } = trial;
  const { pool } = variant;
  const choices = { ...trainingOptions(options), ...weightsOf(variant, options), seed };
  const decisive = Object.entries(choices).filter(([name]) => !undecisiveOptions.includes(name));
  const { listsPerType, devLists } = study;
  const drawing = { ...(pool.equal === 'types' && { listsPerType }), devLists };
  const sources = trainingSources(bench);
  const file = (name: keyof typeof VARIANT_FILES) => variantFile(variant.name, seed, name);
  return {
    name: trainingName(trial),
    needs: ['lists'],
    options: { ...(Object.fromEntries(decisive) as Record<string, Json>), pool: pool as unknown as Json, ...drawing },
    inputs: await hashesOf(sources),
    sources,
    begun: () => stepsInWords(join(directory.path, variantFolder(variant.name, seed))),
    outputs: async () => [
      ...[file('train'), file('dev'), file('summary'), file('log')],
      ...(await directory.filesIn(file('model'))),
    ],
    work: () => train(bench, { trial, choices, lists: lists! }),
  };
}

interface Training {
  trial: Trial;
  choices: object;
  lists: StudyLists;
}

async function train(bench: Workbench, { trial, choices, lists }: Training): Promise<Json> {
  const { options, directory, corpus, work } = bench;
  const { signal } = options;
  const output = join(directory.path, variantFolder(trial.variant.name, trial.seed));
  const chosen = await lists.select(trial.variant, trial.seed);
  const files = { train: join(output, VARIANT_FILES.train), dev: join(output, VARIANT_FILES.dev) };
  await writeLists(files.train, chosen.train, { signal });
  await writeLists(files.dev, chosen.dev, { signal });
  const { teacherTemperature, match } = await temperatureFor(chosen.train, bench, trial.seed);
  // Training loads the model anew, and takes what memory there is.
  await bench.releaseEmbedder();
  bench.releaseIndexes();
  const result = await trainListwise({
    ...choices,
    teacherTemperature,
    model: options.model,
    corpus,
    lists: files.train,
    dev: chosen.dev.length > 0 ? files.dev : undefined,
    output,
    // Whoever started the study agreed to that before its first stage.
    onReplace: () => true,
    ...work,
  });
  return countsOf({ ...result, ...(match && { temperatureMatch: match }) });
}

/** As training would match it, by the base's embeddings that the shared stages made, so that nothing is encoded anew. */
async function temperatureFor(
  lists: readonly TrainingList[],
  bench: Workbench,
  seed: number,
): Promise<{ teacherTemperature: number; match?: TemperatureMatch }> {
  const { studentTemperature, temperatureLists, signal } = bench.options;
  const { teacherTemperature = TRAINING_DEFAULTS.teacherTemperature } = bench.options;
  if (teacherTemperature !== 'match') return { teacherTemperature };
  const { match } = await measureEntropies(lists, await studentScores(bench), {
    ...{ teacherTemperature, seed, signal },
    studentTemperature: studentTemperature ?? TRAINING_DEFAULTS.studentTemperature,
    temperatureLists: temperatureLists ?? TRAINING_DEFAULTS.temperatureLists,
  });
  return { teacherTemperature: match.temperature, match };
}

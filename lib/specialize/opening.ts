import { resolve } from 'node:path';
import { corpusOptionsOf, loadCorpus } from '../corpus/corpus.js';
import { readModelDirectory } from '../models/directory.js';
import { resolveModel } from '../models/hub.js';
import { checkOutside } from '../models/save-target.js';
import { settleSettings } from '../models/settings.js';
import { tokenCounter } from '../models/token-counter.js';
import { candidatesStage } from './candidate-stages.js';
import { corpusStage, embeddingsStage } from './corpus-stages.js';
import { evaluationStage } from './evaluation-stage.js';
import { listsStage } from './lists-stage.js';
import { Manifest } from './manifest.js';
import type { SettledOptions } from './options.js';
import { checkOutput } from './output-place.js';
import { promotionStage } from './promotion-stage.js';
import { queriesStage } from './queries-stage.js';
import { RunDirectory } from './run-directory.js';
import { type Stage, StageRunner } from './stage-runner.js';
import { type StageName, upTo } from './stages.js';
import { teacherStage } from './teacher-stage.js';
import { trainingStage } from './training-stages.js';
import { Workbench } from './workbench.js';

const MAKERS: Readonly<Record<StageName, (bench: Workbench) => Promise<Stage>>> = {
  corpus: corpusStage,
  embeddings: embeddingsStage,
  queries: queriesStage,
  candidates: candidatesStage,
  teacher: teacherStage,
  lists: listsStage,
  training: trainingStage,
  evaluation: evaluationStage,
  promotion: promotionStage,
};

/** Where a run is to be, with everything that needs no long reading settled and checked. */
export interface Place {
  options: SettledOptions;
  directory: RunDirectory;
  /** Where the base model was found. */
  modelDirectory: string;
}

/**
 * Finds the base model and checks that nothing is overwritten. Lengths that were not asked for are the spec's, or less
 * where the model itself reads less.
 */
export async function openPlace(options: SettledOptions): Promise<Place> {
  const { model, revision, signal, onProgress } = options;
  signal?.throwIfAborted();
  const modelDirectory = await resolveModel(model, { revision, signal, onProgress });
  const { maxLength, queryMaxLength } = settleSettings(model, await readModelDirectory(modelDirectory));
  const settled = {
    ...options,
    passageMaxLength: options.passageMaxLength ?? Math.min(512, maxLength),
    queryMaxLength: options.queryMaxLength ?? Math.min(64, queryMaxLength),
  };
  const directory = new RunDirectory(resolve(options.output));
  await checkOutside(options.output, modelDirectory, 'output');
  await checkOutput(options, directory, modelDirectory);
  return { options: settled, directory, modelDirectory };
}

/** Reads the corpus. */
export async function openBench(place: Place): Promise<Workbench> {
  const { options, modelDirectory } = place;
  const { signal, onProgress } = options;
  const countTokens = tokenCounter(modelDirectory, signal);
  const corpus = await loadCorpus(options.corpus, { ...corpusOptionsOf(options), countTokens, signal, onProgress });
  return new Workbench({ ...place, corpus });
}

/** All stages of the run. Their inputs are opened: a test set that is not there should not show after hours of training. */
export async function makeStages(bench: Workbench): Promise<Stage[]> {
  const stages: Stage[] = [];
  for (const name of upTo(bench.options.until)) stages.push(await MAKERS[name](bench));
  return stages;
}

export async function openRunner({ options, directory }: Place): Promise<StageRunner> {
  const { signal, onStage } = options;
  return new StageRunner({
    directory: directory.path,
    manifest: await Manifest.open(directory.file('manifest')),
    signal,
    onStage,
  });
}

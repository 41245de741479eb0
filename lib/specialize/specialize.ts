import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { corpusOptionsOf, loadCorpus } from '../corpus/corpus.js';
import { makeDirectory } from '../formats/writing.js';
import type { Json } from '../hashes.js';
import { readModelDirectory } from '../models/directory.js';
import { resolveModel } from '../models/hub.js';
import { checkOutside } from '../models/save-target.js';
import { tokenCounter } from '../models/token-counter.js';
import { candidatesStage } from './candidate-stages.js';
import { corpusStage, embeddingsStage, queriesStage } from './corpus-stages.js';
import { type EvaluationResult, evaluationStage } from './evaluation-stage.js';
import { Manifest } from './manifest.js';
import { type SettledOptions, type SpecializeOptions, settleSpecializeOptions } from './options.js';
import { checkOutput } from './output-place.js';
import { type Promotion, promotionStage } from './promotion-stage.js';
import { RunDirectory } from './run-directory.js';
import { type Stage, type StageEvent, StageRunner } from './stage-runner.js';
import { type StageName, upTo } from './stages.js';
import { teacherStage } from './teacher-stage.js';
import { listsStage, trainingStage } from './training-stages.js';
import { Workbench } from './workbench.js';

/** What became of a stage. */
export interface StageSummary {
  /** Whether it was complete before, so that nothing was done. */
  reused: boolean;
  /** Seconds that it took, now or when it was done. */
  seconds: number;
  counts: Json;
}

/** What a run gave. */
export interface Specialization {
  /** The run directory. */
  directory: string;
  /**
   * The directory of the model to use: the trained one if the gate promoted it, else the base. Absent if the run was to
   * end before that.
   */
  model?: string;
  /** The trained model's directory, promoted or not; absent if the run was to end before training. */
  trained?: string;
  /** What the gate decided, and why; absent if the run was to end before it. */
  promotion?: Promotion;
  /** Base against trained model; absent if the run was to end before evaluation. */
  evaluation?: EvaluationResult;
  /** By stage, in their order. */
  stages: Partial<Record<StageName, StageSummary>>;
  seconds: number;
}

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

/**
 * Makes an embedding model better at searching a corpus, and measures whether it is: written queries are searched for
 * candidates, a teacher scores these, lists are made of the scores, the model is trained on them, and base and trained
 * model are compared on held-out queries. A gate then decides which of the two the run recommends.
 *
 * Everything is written to a run directory. A stage that is complete there with the same options and inputs is not done
 * again; one that changed is, with those that build on it.
 * @throws InvalidArgumentError or ListwiseError INVALID_ARGUMENT for options, before any work
 * @throws NotFoundError, DataError, ModelError for what the options name; `signal.reason` when aborted
 */
export async function specialize(given: SpecializeOptions): Promise<Specialization> {
  const started = performance.now();
  const options = settleSpecializeOptions(given);
  options.signal?.throwIfAborted();
  await using bench = await openBench(options);
  const stages: Specialization['stages'] = {};
  const runner = new StageRunner({
    directory: bench.directory.path,
    manifest: await Manifest.open(bench.directory.file('manifest')),
    signal: options.signal,
    onStage: (event) => note(event, stages, options),
  });
  // All inputs are opened first: a test set that is not there should not show after hours of training.
  const planned: Stage[] = [];
  for (const stage of upTo(options.until)) planned.push(await MAKERS[stage](bench));
  for (const stage of planned) await runner.run(stage);
  return {
    directory: bench.directory.path,
    ...(stages.training && { trained: bench.directory.file('model') }),
    ...(stages.evaluation && { evaluation: await readJson<EvaluationResult>(bench.directory.file('comparison')) }),
    ...(stages.promotion && {
      model: bench.directory.file('chosenModel'),
      promotion: await readJson<Promotion>(bench.directory.file('promotion')),
    }),
    stages,
    seconds: Math.round(performance.now() - started) / 1000,
  };
}

/** Opens the inputs. Lengths that were not asked for are the spec's, or less where the model itself reads less. */
async function openBench(options: SettledOptions): Promise<Workbench> {
  const { model, revision, signal, onProgress } = options;
  const modelDirectory = await resolveModel(model, { revision, signal, onProgress });
  const { maxLength, queryMaxLength } = await readModelDirectory(modelDirectory);
  const settled = {
    ...options,
    passageMaxLength: options.passageMaxLength ?? Math.min(512, maxLength),
    queryMaxLength: options.queryMaxLength ?? Math.min(64, queryMaxLength),
  };
  const directory = new RunDirectory(resolve(options.output));
  await checkOutside(options.output, modelDirectory, 'output');
  await checkOutput(options, directory, modelDirectory);
  const countTokens = tokenCounter(modelDirectory, signal);
  const corpus = await loadCorpus(options.corpus, { ...corpusOptionsOf(options), countTokens, signal, onProgress });
  await makeDirectory(directory.path);
  return new Workbench({ options: settled, directory, corpus, modelDirectory });
}

function note(event: StageEvent, stages: Specialization['stages'], { onStage }: SettledOptions): void {
  if (event.status === 'reused' || event.status === 'done') {
    const { stage, status, seconds, counts } = event;
    stages[stage] = { reused: status === 'reused', seconds, counts };
  }
  onStage?.(event);
}

async function readJson<T>(file: string): Promise<T> {
  return JSON.parse(await readFile(file, 'utf8')) as T;
}

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ListwiseError, ModelError } from '../errors.js';
import { breather } from '../event-loop.js';
import { writing } from '../formats/writing.js';
import { hashModel } from '../hashes.js';
import { type CrossEncoderModel, loadCrossEncoder } from '../models/cross-encoder.js';
import { type CrossEncoderDirectory, readCrossEncoderDirectory } from '../models/cross-encoder-directory.js';
import { type ModelDirectory, readModelDirectory } from '../models/directory.js';
import { writeFreshCrossEncoder } from '../models/fresh-cross-encoder.js';
import { resolveModel } from '../models/hub.js';
import { checkOutside, checkSaveTarget } from '../models/save-target.js';
import type { Losses } from '../native.js';
import {
  type CrossEncoderTrainingOptions,
  type SettledCrossEncoderOptions,
  settleCrossEncoderOptions,
} from './cross-encoder-options.js';
import { crossEncoderTrainee } from './cross-encoder-trainee.js';
import { badList } from './list-source.js';
import { pairObjective } from './pair-objective.js';
import type { RunResult } from './result.js';
import { runTraining, withOutput } from './run.js';
import { type NamedSource, settleSources } from './sources.js';
import { openTrainingData, TokenStore } from './token-store.js';
import type { TrainingData } from './training-set.js';

/** What a run of trainCrossEncoder gave. */
export type CrossEncoderTrainingResult = RunResult<Pick<Losses, 'loss'>>;

/** Longest pair where the caller says nothing. */
const MAX_LENGTH = 512;

/**
 * Trains a cross-encoder on lists of passages with labels, by softmax cross-entropy over each list or by binary
 * cross-entropy of each pair: a teacher, or a reranker, of your own. The model to start from may be a cross-encoder, or
 * an encoder such as an embedding model, which gets a new classification head (see writeFreshCrossEncoder).
 *
 * Writes into `output` what trainListwise writes, in the same way: model/, log.jsonl, training.json, checkpoints/. It
 * stops early by the loss on dev, goes on where it was stopped, and gives the same bits. model/ opens in
 * sentence-transformers' CrossEncoder and here, and is a teacher: `cross-encoder:<output>/model`.
 * @throws InvalidArgumentError for an option that is unknown or cannot be
 * @throws NotFoundError, DataError, ModelError for files; NotFiniteError if a loss or gradient is not finite
 * @throws ListwiseError UNSUPPORTED for T5, which is computed forward only; BUSY if another process trains into `output`
 * @throws `signal.reason` when aborted; what model/ holds by then is whole
 */
export async function trainCrossEncoder(options: CrossEncoderTrainingOptions): Promise<CrossEncoderTrainingResult> {
  const started = performance.now();
  const settled = settleCrossEncoderOptions(options);
  const { output, revision, signal, onProgress } = settled;
  const sources = settleSources(settled);
  const base = await resolveModel(settled.model, { revision, signal, onProgress });
  const start = await readStart(base);
  // The model is saved late: that it cannot be must not show only then, nor after it replaced its own base.
  const place = join(output, 'model');
  await checkOutside(place, base, 'output/model');
  await checkSaveTarget(place, base, 'output/model', 'config.json');
  return withOutput(output, async () => {
    // A name that no file of the user's has: it is removed in the end, whatever was there.
    const fresh = join(output, `.base.${process.pid}.tmp`);
    let model: CrossEncoderModel | undefined;
    try {
      model = await load(start, { fresh, options: settled });
      const modelHash = await hashModel(base, signal);
      return await train({ model, modelHash, options: settled, sources, started });
    } finally {
      model?.encoder.dispose();
      // It is made again in no time, should the run go on.
      await writing(fresh, () => rm(fresh, { recursive: true, force: true }));
    }
  });
}

type Start = { scorer: CrossEncoderDirectory } | { encoder: ModelDirectory };

/** What a directory holds: a cross-encoder, or an encoder to make one of. */
async function readStart(directory: string): Promise<Start> {
  let start: Start;
  try {
    start = { scorer: await readCrossEncoderDirectory(directory) };
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    const encoder = await readModelDirectory(directory).catch((other: Error) => {
      if (other.message === error.message) throw other;
      const both = `As a cross-encoder: ${error.message} As an encoder: ${other.message}`;
      throw new ModelError(`Expected an encoder or a cross-encoder but ${directory} is neither. ${both}`);
    });
    start = { encoder };
  }
  if (('scorer' in start ? start.scorer : start.encoder).family !== 't5') return start;
  throw new ListwiseError(
    'UNSUPPORTED',
    `${directory} is a T5, which scores pairs by a step of its decoder; that is computed forward only. Train from a ` +
      'BERT, RoBERTa, XLM-R, DistilBERT, MPNet, ModernBERT or GTE model.',
  );
}

async function load(
  start: Start,
  { fresh, options }: { fresh: string; options: SettledCrossEncoderOptions },
): Promise<CrossEncoderModel> {
  const { device, precision, seed, loss, signal } = options;
  const loading = { device, precision, activation: 'identity', signal } as const;
  if ('scorer' in start) {
    const { maxLength = Math.min(MAX_LENGTH, start.scorer.maxLength) } = options;
    return loadCrossEncoder(start.scorer.directory, { ...loading, maxLength });
  }
  const { maxLength = Math.min(MAX_LENGTH, start.encoder.architecture.maxPositions) } = options;
  // Softmax over a list leaves logits free to move together, and a sigmoid would make large ones equal.
  const activation = loss === 'listwise' ? 'identity' : 'sigmoid';
  await writeFreshCrossEncoder(start.encoder, fresh, { seed, maxLength, activation, signal });
  return loadCrossEncoder(fresh, { ...loading, maxLength });
}

interface PairRun {
  model: CrossEncoderModel;
  /** SHA-256 of the base model's files. */
  modelHash: string;
  options: SettledCrossEncoderOptions;
  sources: NamedSource[];
  started: number;
}

async function train(run: PairRun): Promise<CrossEncoderTrainingResult> {
  const { model, modelHash, options, sources, started } = run;
  const { labels, loss } = options;
  const { maxLength, pairs, queryPrefix, tokenizer } = model;
  const store = new TokenStore(join(options.output, 'tokens'));
  const texts = { tokenizer, settings: { queryPrefix, passagePrefix: '' } };
  await using data = await openTrainingData(texts, sources, {
    ...{ ...options, modelHash, store, labelling: { labels, loss } },
    // One more than there is room for shows that there is none.
    ...{ queryMaxLength: pairs.longestQuery + 1, passageMaxLength: pairs.longestQuery },
  });
  await checkQueries(data, run);
  return await runTraining({
    ...{ trainee: crossEncoderTrainee(model), data, store, options, started },
    base: { modelHash, settings: { maxLength, precision: model.encoder.precision } },
    objective: async () => pairObjective(model, { labels, loss }),
  });
}

/** Queries are never cut. @throws ListwiseError BAD_DATA for one that leaves no room for its passages */
async function checkQueries({ sets }: TrainingData, { model, options }: PairRun): Promise<void> {
  const { longestQuery } = model.pairs;
  const breathe = breather(options.signal);
  for (const { train, dev } of sets) {
    for (const set of dev ? [train, dev] : [train]) {
      for (let place = 0; place < set.size; place++) {
        await breathe();
        if (set.queries.length(place) <= longestQuery) continue;
        const problem = `has a query of more than ${longestQuery} tokens, which leaves no room for a passage in ${model.maxLength}`;
        throw badList(set.idOf(place), `${problem}; shorten it, or raise maxLength if the model allows.`);
      }
    }
  }
}

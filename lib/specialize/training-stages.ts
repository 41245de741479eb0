import { stat } from 'node:fs/promises';
import { DataError } from '../errors.js';
import type { Json } from '../hashes.js';
import { stepsKept } from '../training/checkpoints.js';
import { type TrainingOptions, undecisiveOptions } from '../training/options.js';
import type { TrainingResult } from '../training/result.js';
import { trainListwise } from '../training/train.js';
import { isEvaluatedOnDev } from './option-checks.js';
import { type SettledOptions, trainingChoices } from './options.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import { hashesOf, type InputSource, type Workbench } from './workbench.js';

/** The trained model: training/model, with log.jsonl and training.json beside it. */
export async function trainingStage(bench: Workbench): Promise<Stage> {
  const { options, directory, corpus, work } = bench;
  const sources = trainingSources(bench);
  const choices = trainingOptions(options);
  const decisive = Object.fromEntries(Object.entries(choices).filter(([name]) => !undecisiveOptions.includes(name)));
  return {
    name: 'training',
    options: decisive as Record<string, Json | undefined>,
    inputs: await hashesOf(sources),
    sources,
    begun: () => stepsInWords(directory.file('training')),
    outputs: async () => [FILES.trainingSummary, FILES.trainingLog, ...(await directory.filesIn(FILES.model))],
    work: async () => {
      // Training loads the model anew, and takes what memory there is.
      await bench.releaseEmbedder();
      bench.releaseIndexes();
      const dev = directory.file('dev');
      const hasDev = (await stat(dev)).size > 0;
      if (!hasDev && isEvaluatedOnDev(options)) throw noDevLists(dev);
      const result = await trainListwise({
        ...choices,
        model: options.model,
        corpus,
        lists: directory.file('train'),
        dev: hasDev ? dev : undefined,
        output: directory.file('training'),
        // Whoever started the run agreed to that before its first stage.
        onReplace: () => true,
        ...work,
      });
      return countsOf(result);
    },
  };
}

/** What a training that was stopped has done. @param output its directory */
export async function stepsInWords(output: string): Promise<string | undefined> {
  const steps = await stepsKept(output);
  return steps > 0 ? `done ${steps} step${steps > 1 ? 's' : ''}` : undefined;
}

/** Said before hours of training, and not after. */
function noDevLists(file: string): DataError {
  const problem = 'There is no dev list to compare the models on, and no test set was given';
  return new DataError({ file }, `${problem}: give one (data), more queries, or a larger devShare.`);
}

/** What training reads from the disk that no stage wrote: the base model, and queries of people to evaluate on. */
export function trainingSources(bench: Workbench): Record<string, InputSource> {
  const { devData, devSplit = 'dev' } = bench.options;
  const model = bench.modelSource();
  return devData === undefined ? { model } : { model, 'dev data': bench.collectionSource(devData, devSplit) };
}

export function trainingOptions(options: SettledOptions): Partial<TrainingOptions> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => trainingChoices.includes(name)));
}

export function countsOf({ steps, stopped, teacherTemperature, temperatureMatch, ...rest }: TrainingResult): Json {
  const { lists, base, best, seconds } = rest;
  const { train, dev, listLength, passages } = lists;
  const losses = (record: TrainingResult['best']) =>
    record
      ? { step: record.step, listwise: record.listwise, contrastive: record.contrastive, loss: record.loss }
      : null;
  const match = temperatureMatch ? { temperatureMatch: { ...temperatureMatch } } : {};
  return {
    ...{ steps, stopped, teacherTemperature, ...match },
    ...{ lists: { train, dev, listLength, passages }, devBase: losses(base), devBest: losses(best), seconds },
  };
}

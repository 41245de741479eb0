import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hashInputFile, hashJson, type Json } from '../hashes.js';
import { type TrainingOptions, undecisiveOptions } from '../training/options.js';
import type { TrainingResult } from '../training/result.js';
import { trainListwise } from '../training/train.js';
import { type SettledOptions, trainingChoices } from './options.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import type { Workbench } from './workbench.js';

/** The trained model: training/model, with log.jsonl and training.json beside it. */
export async function trainingStage(bench: Workbench): Promise<Stage> {
  const { options, directory, corpus, work } = bench;
  const model = bench.modelSource();
  const choices = trainingOptions(options);
  const decisive = Object.fromEntries(Object.entries(choices).filter(([name]) => !undecisiveOptions.includes(name)));
  return {
    name: 'training',
    options: decisive as Record<string, Json | undefined>,
    inputs: { model: await model.hash(), ...(await hashDevData(options)) },
    sources: { model },
    outputs: async () => [FILES.trainingSummary, FILES.trainingLog, ...(await directory.filesIn(FILES.model))],
    work: async () => {
      // Training loads the model anew; two copies need not stand in memory.
      await bench.releaseEmbedder();
      const dev = directory.file('dev');
      const result = await trainListwise({
        ...choices,
        model: options.model,
        corpus,
        lists: directory.file('train'),
        dev: (await stat(dev)).size > 0 ? dev : undefined,
        output: directory.file('training'),
        ...work,
      });
      return countsOf(result);
    },
  };
}

/** Judgements and queries of the people's dev set, if there is one. */
export async function hashDevData({
  devData,
  devSplit = 'dev',
  signal,
}: SettledOptions): Promise<Record<string, string>> {
  if (devData === undefined) return {};
  const names = ['queries.jsonl', join('qrels', `${devSplit}.tsv`)];
  const hashes = names.map((name) =>
    hashInputFile(join(devData, name), 'judged queries in the layout of BEIR', signal),
  );
  return { 'dev data': hashJson(await Promise.all(hashes)) };
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

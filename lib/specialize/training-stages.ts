import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { DroppedQuery } from '../candidates/selection.js';
import { ListwiseError } from '../errors.js';
import { readJsonl, writeJsonl } from '../formats/jsonl.js';
import { buildLists } from '../lists/build.js';
import { writeLists } from '../lists/file.js';
import { readTeacherScores } from '../teachers/scores.js';
import { trainListwise, type TrainingResult } from '../training/train.js';
import type { TrainingOptions } from '../training/options.js';
import type { Json } from './hashes.js';
import { type SettledOptions, trainingChoices } from './options.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import type { Workbench } from './workbench.js';

/** Training lists from the teacher's scores, and every query that got none with the reason: dropped.jsonl. */
export async function listsStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { listLength, lowPercentile, keepPercentile, highPercentile, devShare, seed, signal } = options;
  const choices = { listLength, lowPercentile, keepPercentile, highPercentile, devShare, seed };
  return {
    name: 'lists',
    options: choices,
    inputs: {},
    outputs: [FILES.train, FILES.dev, FILES.dropped],
    work: async () => {
      const scores = readTeacherScores(directory.file('scores'), { signal });
      const built = await buildLists(await bench.queries(), scores, { ...choices, signal });
      const earlier = [...(await readDropped(directory.file('queriesDropped'))), ...(await readDropped(directory.file('candidatesDropped')))];
      await writeJsonl(directory.file('dropped'), [...earlier, ...built.dropped], { signal });
      await writeLists(directory.file('train'), built.train, { signal });
      await writeLists(directory.file('dev'), built.dev, { signal });
      if (built.train.length === 0) throw nothingToTrainOn(directory.file('dropped'), [...earlier, ...built.dropped]);
      const byType = Object.fromEntries(Object.entries(built.counts).map(([type, count]) => [type, { ...count }]));
      return { train: built.train.length, dev: built.dev.length, dropped: built.dropped.length, byType } as Json;
    },
  };
}

async function readDropped(file: string): Promise<DroppedQuery[]> {
  const dropped: DroppedQuery[] = [];
  for await (const { value } of readJsonl(file)) dropped.push(value as unknown as DroppedQuery);
  return dropped;
}

function nothingToTrainOn(file: string, dropped: readonly DroppedQuery[]): ListwiseError {
  const counts = new Map<string, number>();
  for (const { stage } of dropped) counts.set(stage, (counts.get(stage) ?? 0) + 1);
  const stages = Array.from(counts, ([stage, count]) => `${count} by stage ${stage}`).join(', ');
  const example = dropped.at(-1);
  const shown = example ? ` For example ${example.query}: ${example.reason}.` : '';
  return new ListwiseError(
    'BAD_DATA',
    `No query is left to train on: ${dropped.length} were dropped (${stages}).${shown} ${file} has the reason of each; ` +
      'check that queries and teacher fit the corpus, or loosen maxSourceRank, minCandidates or listLength.',
  );
}

/** The trained model: training/model, with log.jsonl and training.json beside it. */
export async function trainingStage(bench: Workbench): Promise<Stage> {
  const { options, directory, corpus, work } = bench;
  const { onStep, ...choices } = trainingOptions(options);
  return {
    name: 'training',
    options: choices as Record<string, Json | undefined>,
    inputs: { model: await bench.modelHash() },
    outputs: async () => [FILES.trainingSummary, FILES.trainingLog, ...(await filesIn(directory.path, FILES.model))],
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
        onStep,
        ...work,
      });
      return countsOf(result);
    },
  };
}

function trainingOptions(options: SettledOptions): Partial<TrainingOptions> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => trainingChoices.includes(name)));
}

/** Files below a folder of the run directory, relative to the run directory. */
async function filesIn(directory: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(directory, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath ?? entry.path, entry.name)).split(sep).join('/'))
    .sort();
}

function countsOf({ steps, stopped, teacherTemperature, lists, base, best, seconds }: TrainingResult): Json {
  const losses = (record: TrainingResult['best']) =>
    record ? { step: record.step, listwise: record.listwise, contrastive: record.contrastive, loss: record.loss } : null;
  return { steps, stopped, teacherTemperature, lists, devBase: losses(base), devBest: losses(best), seconds };
}

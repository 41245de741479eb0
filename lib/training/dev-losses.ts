import type { BatchArgs, Losses } from '../native.js';
import { devBatches, oneAhead } from './batch-stream.js';
import type { Batch } from './batches.js';
import type { SetLosses } from './log.js';
import type { SettledOptions } from './options.js';
import type { TrainingData, TrainingPair } from './training-set.js';
import type { WatchedTrainer } from './watched-trainer.js';

export interface DevParts {
  trainer: WatchedTrainer;
  data: TrainingData;
  options: Pick<SettledOptions, 'batchSize' | 'signal' | 'onProgress'>;
  batchArgs: (batch: Batch) => BatchArgs;
  /** Steps taken, for messages. */
  step: number;
}

const NAMES = ['listwise', 'contrastive', 'loss'] as const;

/**
 * Both losses on dev, in batches as large as those of training, weighted by their sizes; over several sets the mean
 * weighted by the sizes of their dev sets.
 */
export async function devLosses(parts: DevParts): Promise<Losses & { sets?: SetLosses[] }> {
  const pairs = parts.data.sets.filter(({ dev }) => dev !== undefined);
  const total = pairs.reduce((sum, { dev }) => sum + dev!.size, 0);
  const sets: SetLosses[] = [];
  let done = 0;
  for (const pair of pairs) {
    sets.push(await lossesOf(pair, { ...parts, done, total }));
    done += pair.dev!.size;
  }
  const mean = weightedMean(sets.map((losses) => ({ losses, weight: losses.lists / total })));
  return parts.data.sets.length > 1 ? { ...mean, sets } : mean;
}

async function lossesOf(pair: TrainingPair, parts: DevParts & { done: number; total: number }): Promise<SetLosses> {
  const { trainer, options, batchArgs, step, total } = parts;
  const dev = pair.dev!;
  const measured: { losses: Losses; weight: number }[] = [];
  let done = 0;
  for await (const batch of oneAhead(devBatches(pair, options))) {
    const size = batch.lists.length;
    const report = (share: number) => {
      const place = parts.done + done + share * size;
      options.onProgress?.({ stage: 'evaluation', done: place, total, unit: 'queries' });
    };
    const losses = await trainer.evaluate(batchArgs(batch), {
      signal: options.signal,
      onShare: report,
      what: `Evaluation on dev after step ${step}`,
      queryIds: () => Array.from(batch.lists, (place) => dev.idOf(place)),
    });
    measured.push({ losses, weight: size / dev.size });
    report(1);
    done += size;
  }
  return { name: pair.name, lists: dev.size, ...weightedMean(measured) };
}

function weightedMean(measured: readonly { losses: Losses; weight: number }[]): Losses {
  const mean = { listwise: 0, contrastive: 0, loss: 0 };
  for (const { losses, weight } of measured) for (const name of NAMES) mean[name] += losses[name] * weight;
  return mean;
}

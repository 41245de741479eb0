import type { AnyLosses, BatchArgs, PairBatchArgs } from '../native.js';
import { devBatches, type Making, oneAhead } from './batch-stream.js';
import type { Batch } from './batches.js';
import type { SetLosses } from './log.js';
import type { SettledRunOptions } from './run-options.js';
import type { TrainingData, TrainingPair } from './training-set.js';
import type { WatchedTrainer } from './watched-trainer.js';

export interface DevParts extends Making {
  trainer: WatchedTrainer;
  data: TrainingData;
  options: Pick<SettledRunOptions, 'batchSize' | 'signal' | 'onProgress'>;
  batchArgs: (batch: Batch) => BatchArgs | PairBatchArgs;
  /** Steps taken, for messages. */
  step: number;
}

const NAMES = ['listwise', 'contrastive', 'loss'] as const;

/**
 * The losses on dev, in batches as large as those of training, weighted by their sizes; over several sets the mean
 * weighted by the sizes of their dev sets.
 */
export async function devLosses(parts: DevParts): Promise<AnyLosses & { sets?: SetLosses<AnyLosses>[] }> {
  const pairs = parts.data.sets.filter(({ dev }) => dev !== undefined);
  const total = pairs.reduce((sum, { dev }) => sum + dev!.size, 0);
  const sets: SetLosses<AnyLosses>[] = [];
  let done = 0;
  for (const pair of pairs) {
    sets.push(await lossesOf(pair, { ...parts, done, total }));
    done += pair.dev!.size;
  }
  const mean = weightedMean(sets.map((losses) => ({ losses, weight: losses.lists / total })));
  return parts.data.sets.length > 1 ? { ...mean, sets } : mean;
}

async function lossesOf(
  pair: TrainingPair,
  parts: DevParts & { done: number; total: number },
): Promise<SetLosses<AnyLosses>> {
  const { trainer, options, batchArgs, make, step, total } = parts;
  const dev = pair.dev!;
  const measured: { losses: AnyLosses; weight: number }[] = [];
  let done = 0;
  for await (const batch of oneAhead(devBatches(pair, { ...options, make }))) {
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

/** Of those losses that there are. */
function weightedMean(measured: readonly { losses: AnyLosses; weight: number }[]): AnyLosses {
  const mean = (name: (typeof NAMES)[number]) =>
    measured.reduce((sum, { losses, weight }) => sum + losses[name]! * weight, 0);
  const there = NAMES.filter((name) => measured[0]!.losses[name] !== undefined);
  return Object.fromEntries(there.map((name) => [name, mean(name)])) as unknown as AnyLosses;
}

import { codePointKey, stableOrder } from '../corpus/code-point-order.js';
import { InvalidArgumentError } from '../errors.js';
import { Random } from '../random.js';
import type { TrainingList } from '../types.js';

export interface SplitOptions {
  /** Share of the source passages whose lists are kept for dev, 0 to below 1. Default 0.1. */
  devShare?: number;
  /** Default 1. */
  seed?: number;
}

/**
 * Splits lists by source passage, so that no passage is the source of queries on both sides: a seeded draw of
 * `devShare` of the sources, rounded, but at least one where there are two or more and `devShare` is above 0. Both
 * sides keep the lists' order; the draw does not depend on it.
 * @throws InvalidArgumentError for a share out of range, or a list without a source
 */
export async function splitBySource(
  lists: readonly TrainingList[],
  options: SplitOptions = {},
): Promise<{ train: TrainingList[]; dev: TrainingList[] }> {
  const { devShare, seed } = settleSplitOptions(options);
  const sources = [...new Set(lists.map(sourceOf))];
  const order = await stableOrder(sources.map(codePointKey));
  const shuffled = Random.for(seed, 'split').shuffle(Array.from(order, (i) => sources[i]!));
  const atLeast = devShare > 0 && sources.length > 1 ? 1 : 0;
  const forDev = new Set(shuffled.slice(0, Math.max(atLeast, Math.round(devShare * sources.length))));
  return {
    train: lists.filter((list) => !forDev.has(sourceOf(list))),
    dev: lists.filter((list) => forDev.has(sourceOf(list))),
  };
}

/** Fills in defaults. @throws InvalidArgumentError for an option out of range */
export function settleSplitOptions({ devShare = 0.1, seed = 1 }: SplitOptions): Required<SplitOptions> {
  if (!(devShare >= 0 && devShare < 1)) {
    throw new InvalidArgumentError('devShare', 'a number from 0 to below 1', devShare);
  }
  if (!Number.isSafeInteger(seed)) throw new InvalidArgumentError('seed', 'a whole number', seed);
  return { devShare, seed };
}

function sourceOf(list: TrainingList): string {
  if (list.source !== undefined) return list.source;
  throw new InvalidArgumentError('lists', `a source passage for list "${list.id}"`, undefined);
}

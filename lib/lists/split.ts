import { codePointKey, stableOrder } from '../corpus/code-point-order.js';
import { InvalidArgumentError } from '../errors.js';
import { Random } from '../random.js';
import type { TrainingList } from '../types.js';
import { groupSources } from './groups.js';

export interface SplitOptions {
  /** Share of the source passages whose lists are kept for dev, 0 to below 1. Default 0.1. */
  devShare?: number;
  /** Default 1. */
  seed?: number;
}

export interface SplitBySourceOptions extends SplitOptions {
  /** All passages that answer a list's query, where that is more than its source. Default its source. */
  sourcesOf?: (list: TrainingList) => readonly string[];
}

/**
 * Splits lists by source passage, so that no passage is the source of queries on both sides: a seeded draw of
 * `devShare` of the sources, rounded, but at least one where there are two or more and `devShare` is above 0. Both
 * sides keep the lists' order; the draw does not depend on it. Sources of one list, and those joined to them by other
 * lists, are drawn as one.
 * @throws InvalidArgumentError for a share out of range, or a list without a source
 */
export async function splitBySource(
  lists: readonly TrainingList[],
  options: SplitBySourceOptions = {},
): Promise<{ train: TrainingList[]; dev: TrainingList[] }> {
  const { devShare, seed } = settleSplitOptions(options);
  const { sourcesOf = (list) => [sourceOf(list)] } = options;
  const given = [...new Set(lists.flatMap(sourcesOf))];
  const sources = Array.from(await stableOrder(given.map(codePointKey)), (i) => given[i]!);
  const groups = groupSources(sources, lists.map(sourcesOf));
  const groupOf = (list: TrainingList) => groups.get(sourcesOf(list)[0]!)!;
  const shuffled = Random.for(seed, 'split').shuffle([...new Set(groups.values())]);
  const atLeast = devShare > 0 && shuffled.length > 1 ? 1 : 0;
  const forDev = new Set(shuffled.slice(0, Math.max(atLeast, Math.round(devShare * shuffled.length))));
  return {
    train: lists.filter((list) => !forDev.has(groupOf(list))),
    dev: lists.filter((list) => forDev.has(groupOf(list))),
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

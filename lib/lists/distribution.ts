import { percentile, sortedValues } from './percentile.js';

/** How scores are spread. */
export interface Distribution {
  count: number;
  /** How many different values there are. */
  different: number;
  /** By linear interpolation. */
  percentiles: { p0: number; p1: number; p25: number; p50: number; p75: number; p99: number; p100: number };
}

/** @returns undefined for no values */
export async function distribution(values: Iterable<number>, signal?: AbortSignal): Promise<Distribution | undefined> {
  const sorted = await sortedValues(values, signal);
  if (sorted.length === 0) return undefined;
  let different = 1;
  for (let i = 1; i < sorted.length; i++) if (sorted[i] !== sorted[i - 1]) different += 1;
  const at = (p: number) => percentile(sorted, p);
  const percentiles = { p0: at(0), p1: at(1), p25: at(25), p50: at(50), p75: at(75), p99: at(99), p100: at(100) };
  return { count: sorted.length, different, percentiles };
}

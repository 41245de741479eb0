import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';

/**
 * A percentile by linear interpolation between the two nearest ranks, as NumPy's default: at the place
 * p / 100 · (n − 1), from 0, of the sorted values.
 * @param sorted rising, at least one
 * @param p 0 to 100
 * @throws InvalidArgumentError for no values, or p out of range
 */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  if (sorted.length === 0) throw new InvalidArgumentError('sorted', 'at least one value', 'none');
  if (!(p >= 0 && p <= 100)) throw new InvalidArgumentError('p', 'a percentile from 0 to 100', p);
  const place = (p / 100) * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (place - below);
}

const RUN = 65536;

type Breathe = ReturnType<typeof breather>;

/** The values in rising order, without holding up the event loop: short runs are sorted, then merged. */
export async function sortedValues(values: Iterable<number>, signal?: AbortSignal): Promise<Float64Array> {
  const breathe = breather(signal);
  let from = joined(await sortedRuns(values, breathe));
  let to = new Float64Array(from.length);
  for (let width = RUN; width < from.length; width *= 2) {
    for (let start = 0; start < from.length; start += 2 * width) {
      const middle = Math.min(start + width, from.length);
      const end = Math.min(start + 2 * width, from.length);
      for (let at = start, left = start, right = middle; at < end; at++) {
        const takeRight = left === middle || (right < end && from[right]! < from[left]!);
        to[at] = from[takeRight ? right++ : left++]!;
        if ((at & 8191) === 0) await breathe();
      }
    }
    [from, to] = [to, from];
  }
  return from;
}

async function sortedRuns(values: Iterable<number>, breathe: Breathe): Promise<Float64Array[]> {
  const runs: Float64Array[] = [];
  let run = new Float64Array(RUN);
  let count = 0;
  for (const value of values) {
    run[count++] = value;
    if ((count & 1023) === 0) await breathe();
    if (count < RUN) continue;
    runs.push(run.sort());
    run = new Float64Array(RUN);
    count = 0;
    await breathe();
  }
  return [...runs, run.subarray(0, count).sort()];
}

function joined(runs: readonly Float64Array[]): Float64Array<ArrayBuffer> {
  const all = new Float64Array(runs.reduce((sum, run) => sum + run.length, 0));
  for (const [i, run] of runs.entries()) all.set(run, i * RUN);
  return all;
}

import { Bench } from 'tinybench';

/** One kernel beside a plain way to the same output. */
export interface Comparison {
  name: string;
  /** What a second is counted in: 'tokens', 'slots', 'scores'. */
  unit: string;
  /** How many of them one call handles. */
  work: number;
  /** What `baseline` is, in a few words. */
  against: string;
  run(): Promise<unknown>;
  baseline(): Promise<unknown>;
  /** Throws unless both give the same output. Called once, before timing. */
  check(): Promise<void>;
}

export interface Measured {
  name: string;
  unit: string;
  against: string;
  perSecond: number;
  baselinePerSecond: number;
  /** How many times as fast as the baseline, over rounds: one ratio a round, so that a drifting machine cancels. */
  ratio: { minimum: number; median: number; maximum: number };
}

/** Median seconds of a call, by tinybench, over at least three calls. */
async function seconds(call: () => Promise<unknown>): Promise<number> {
  const bench = new Bench({ time: 0, iterations: 3, warmup: true, warmupTime: 0, warmupIterations: 1, throws: true });
  bench.add('call', async () => {
    await call();
  });
  const [task] = await bench.run();
  const result = task?.result;
  if (!result || !('latency' in result)) throw new Error('tinybench gave no timings');
  return result.latency.p50 / 1000;
}

/** The median. */
export function middle(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? (sorted[half] ?? 0) : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2;
}

/** Checks that outputs agree, then times the two in turn for some rounds. */
export async function measure(comparison: Comparison, rounds: number): Promise<Measured> {
  await comparison.check();
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(await seconds(() => comparison.run()));
    theirs.push(await seconds(() => comparison.baseline()));
  }
  const ratios = ours.map((own, i) => (theirs[i] ?? 0) / own).sort((a, b) => a - b);
  const rate = (times: number[]) => comparison.work / middle(times);
  return {
    name: comparison.name,
    unit: comparison.unit,
    against: comparison.against,
    perSecond: rate(ours),
    baselinePerSecond: rate(theirs),
    ratio: { minimum: ratios[0] ?? 0, median: middle(ratios), maximum: ratios.at(-1) ?? 0 },
  };
}

/** Throws unless the two differ by no more than `tolerance`, relative to the largest number. */
export function requireEqual(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers against ${expected.length}`);
  let largest = 0;
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
    worst = Math.max(worst, Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? 0)));
  }
  if (!(worst <= tolerance * largest)) throw new Error(`outputs differ by ${worst}, allowed ${tolerance * largest}`);
}

/** The least cosine of two matrices' rows with each other. */
export function leastCosine(actual: Float32Array, expected: Float32Array, dimension: number): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers against ${expected.length}`);
  let least = 1;
  for (let start = 0; start < actual.length; start += dimension) {
    let [product, own, other] = [0, 0, 0];
    for (let i = start; i < start + dimension; i++) {
      product += actual[i]! * expected[i]!;
      own += actual[i]! ** 2;
      other += expected[i]! ** 2;
    }
    const cosine = product / Math.sqrt(own * other);
    // Not Math.min, which would be content with NaN.
    if (!(cosine >= least)) least = cosine;
  }
  return least;
}

/** The length of the difference of two vectors, relative to that of the second. */
export function relativeDistance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers against ${expected.length}`);
  let [apart, length] = [0, 0];
  for (let i = 0; i < actual.length; i++) {
    apart += (actual[i]! - expected[i]!) ** 2;
    length += expected[i]! ** 2;
  }
  return Math.sqrt(apart / length);
}

import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import { percentile } from '../lists/percentile.js';
import { Random } from '../random.js';
import { studentTwoSided } from './student.js';

export interface ResamplingOptions {
  /** How many resamples are drawn, at most 100,000,000; 10,000 by default. */
  resamples?: number;
  /** Any 32-bit integer; 1 by default. The same seed gives the same result. */
  seed?: number;
  signal?: AbortSignal;
}

export interface BootstrapOptions extends ResamplingOptions {
  /** Share of the resamples inside the interval, in (0, 1); 0.95 by default. */
  confidence?: number;
}

export interface Interval {
  low: number;
  high: number;
}

/** Sums that differ by less than this share of Σ|d| are taken for equal: they may be added up in other orders. */
const EQUAL_SUMS = 1e-12;
/** Their means are kept to be sorted: 800 MB, and hours of drawing, for no digit that matters. */
const MOST_RESAMPLES = 1e8;
/** Signs drawn from one random whole number. */
const SIGNS = 30;

/** Arithmetic mean. @throws InvalidArgumentError if there is no number, or one is not finite */
export function mean(values: ArrayLike<number>): number {
  return sumOf(checked(values)) / values.length;
}

/**
 * Percentile interval of a mean difference by the paired bootstrap: queries are drawn with replacement, as many as
 * there are, and the interval's ends are percentiles of the resamples' means (linear interpolation).
 * @param differences one number a query: system minus base
 * @throws InvalidArgumentError if there is no difference, one is not finite, or an option is out of range
 * @see Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; for retrieval, Sakai 2006, SIGIR
 */
export async function pairedBootstrap(
  differences: ArrayLike<number>,
  options: BootstrapOptions = {},
): Promise<Interval> {
  const { resamples = 10_000, confidence = 0.95, seed = 1, signal } = options;
  checkResampling(options);
  const values = checked(differences);
  const random = Random.for(seed, 'bootstrap');
  const means = new Float64Array(resamples);
  const breathe = breather(signal);
  for (let b = 0; b < resamples; b++) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[random.integer(values.length)] as number;
    means[b] = sum / values.length;
    await breathe();
  }
  means.sort();
  return { low: percentile(means, 50 * (1 - confidence)), high: percentile(means, 50 * (1 + confidence)) };
}

/**
 * Two-sided p-value of the paired bootstrap test: the differences are shifted to a mean of 0, resampled, and
 * p = (count + 1) / (resamples + 1) with count the resamples whose Student's t is at least as far from 0 as that of the
 * differences as they are. It is 1 where there are fewer than 2 differences or none differs from 0.
 * @param differences one number a query: system minus base
 * @throws InvalidArgumentError if there is no difference, one is not finite, or resamples is out of range
 * @see Sakai 2006, Evaluating Evaluation Metrics based on the Bootstrap, SIGIR; Efron and Tibshirani 1993, chapter 16
 */
export async function bootstrapTest(differences: ArrayLike<number>, options: ResamplingOptions = {}): Promise<number> {
  const { resamples = 10_000, seed = 1, signal } = options;
  checkResampling(options);
  const values = checked(differences);
  if (values.length < 2 || values.every((value) => value === 0)) return 1;
  const average = sumOf(values) / values.length;
  const far = Math.abs(studentT(values)) * (1 - EQUAL_SUMS);
  const shifted = values.map((value) => value - average);
  const random = Random.for(seed, 'bootstrap test');
  const drawn = new Float64Array(values.length);
  const breathe = breather(signal);
  let count = 0;
  for (let b = 0; b < resamples; b++) {
    for (let i = 0; i < drawn.length; i++) drawn[i] = shifted[random.integer(drawn.length)] as number;
    if (Math.abs(studentT(drawn)) >= far) count += 1;
    await breathe();
  }
  return (count + 1) / (resamples + 1);
}

/** Mean over its standard error; infinite where all values are one number that is not 0, and 0 where they are 0. */
function studentT(values: Float64Array): number {
  const average = sumOf(values) / values.length;
  let squares = 0;
  for (const value of values) squares += (value - average) ** 2;
  const error = Math.sqrt(squares / (values.length - 1) / values.length);
  return average === 0 ? 0 : average / error;
}

/**
 * Two-sided p-value of Fisher's paired randomisation test of the mean difference: how often a random choice of the
 * differences' signs gives a sum at least as far from 0. All choices are counted where there are no more of them than
 * `resamples`; else that many are drawn and p = (count + 1) / (resamples + 1), which is never 0.
 * @param differences one number a query: system minus base
 * @throws InvalidArgumentError if there is no difference, one is not finite, or resamples is out of range
 * @see Smucker, Allan and Carterette 2007, A Comparison of Statistical Significance Tests for Information Retrieval
 *   Evaluation; Phipson and Smyth 2010, Permutation P-values Should Never Be Zero
 */
export async function randomizationTest(
  differences: ArrayLike<number>,
  options: ResamplingOptions = {},
): Promise<number> {
  const { resamples = 10_000, seed = 1, signal } = options;
  checkResampling(options);
  const values = checked(differences).filter((difference) => difference !== 0);
  if (values.length === 0) return 1;
  const spread = values.reduce((sum, value) => sum + Math.abs(value), 0);
  const far = Math.abs(sumOf(values)) - EQUAL_SUMS * spread;
  const breathe = breather(signal);
  if (values.length < SIGNS && 2 ** values.length <= resamples) return exactShare(values, far, breathe);
  const random = Random.for(seed, 'randomization');
  let count = 0;
  for (let b = 0; b < resamples; b++) {
    if (Math.abs(randomlySigned(values, random)) >= far) count += 1;
    await breathe();
  }
  return (count + 1) / (resamples + 1);
}

async function exactShare(
  values: Float64Array,
  far: number,
  breathe: () => Promise<void> | undefined,
): Promise<number> {
  const choices = 2 ** values.length;
  let count = 0;
  for (let signs = 0; signs < choices; signs++) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += (signs >> i) & 1 ? -(values[i] as number) : (values[i] as number);
    if (Math.abs(sum) >= far) count += 1;
    await breathe();
  }
  return count / choices;
}

function randomlySigned(values: Float64Array, random: Random): number {
  let sum = 0;
  let signs = 0;
  for (let i = 0; i < values.length; i++) {
    if (i % SIGNS === 0) signs = random.integer(2 ** SIGNS);
    sum += signs & 1 ? -(values[i] as number) : (values[i] as number);
    signs >>= 1;
  }
  return sum;
}

/**
 * Two-sided p-value of Student's paired t-test of the mean difference. It is 1 where all differences are 0 and where
 * there is only one, which tells nothing.
 * @param differences one number a query: system minus base
 * @throws InvalidArgumentError if there is no difference or one is not finite
 * @see Student 1908, The Probable Error of a Mean, Biometrika 6(1)
 */
export function pairedTTest(differences: ArrayLike<number>): number {
  const values = checked(differences);
  if (values.length < 2 || values.every((value) => value === 0)) return 1;
  return studentTwoSided(studentT(values), values.length - 1);
}

/**
 * Holm's step-down correction: p-values such that taking those below α for significant keeps the chance of one false
 * finding or more among them all below α.
 * @returns corrected p-values in the order given, at most 1
 * @throws InvalidArgumentError if one is not in [0, 1]
 * @see Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6(2)
 */
export function holm(pValues: readonly number[]): number[] {
  for (const p of pValues) {
    if (!(p >= 0 && p <= 1)) throw new InvalidArgumentError('pValues', 'numbers in [0, 1]', p);
  }
  const order = pValues.map((_, index) => index).sort((a, b) => (pValues[a] as number) - (pValues[b] as number));
  const corrected = new Array<number>(pValues.length);
  let least = 0;
  for (const [rank, index] of order.entries()) {
    least = Math.max(least, Math.min(1, (pValues.length - rank) * (pValues[index] as number)));
    corrected[index] = least;
  }
  return corrected;
}

function sumOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function checked(values: ArrayLike<number>): Float64Array {
  if (values.length === 0) throw new InvalidArgumentError('differences', 'at least one number', values);
  const copy = Float64Array.from(values);
  const wrong = copy.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw new InvalidArgumentError(`differences[${wrong}]`, 'a finite number', copy[wrong]);
  return copy;
}

/** @throws InvalidArgumentError if an option is out of range */
export function checkResampling({ resamples = 10_000, confidence = 0.95 }: BootstrapOptions): void {
  if (!Number.isSafeInteger(resamples) || resamples < 1 || resamples > MOST_RESAMPLES) {
    throw new InvalidArgumentError('resamples', 'a whole number from 1 to 100,000,000', resamples);
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw new InvalidArgumentError('confidence', 'a number between 0 and 1', confidence);
  }
}

import { ListwiseError } from '../errors.js';
import { breather } from '../event-loop.js';
import { Random } from '../random.js';

/** How a teacher's temperature was matched to a student. */
export interface TemperatureMatch {
  temperature: number;
  /** Mean entropy of the student's distribution over its lists, in nats: the target. */
  studentEntropy: number;
  /** Mean entropy of the teacher's at the chosen temperature. */
  teacherEntropy: number;
  /** Lists looked at. */
  lists: number;
  /** Set where no temperature reaches the target and the nearest bound was taken. */
  bound?: 'lowest' | 'highest';
}

/** Scores of lists: lists × listLength, row-major. */
export interface ListScores {
  scores: ArrayLike<number>;
  listLength: number;
}

/** Places of the lists that decide the temperature, in training and for the teacher doctor: all, or a seeded sample. */
export function temperatureSample(total: number, most: number, seed: number): Int32Array {
  if (total > most) return Random.for(seed, 'temperature').sample(total, most);
  return Int32Array.from({ length: total }, (_, place) => place);
}

/** Temperatures tried, as multiples of the scores' range; beyond these the softmax is a step or flat. */
const LOWEST = 0.01;
const HIGHEST = 10;

/**
 * Mean over lists of the entropy of softmax(scores / temperature), in nats; between 0 and log(listLength). Of several
 * sets, over the lists of all.
 */
export async function meanEntropy(
  given: ListScores | readonly ListScores[],
  temperature: number,
  signal?: AbortSignal,
): Promise<number> {
  const breathe = breather(signal);
  let total = 0;
  for (const { scores, listLength } of setsOf(given)) {
    for (let start = 0; start < scores.length; start += listLength) {
      total += listEntropy(scores, { start, length: listLength }, temperature);
      if (start % 4096 < listLength) await breathe();
    }
  }
  return total / listCount(given);
}

function setsOf(given: ListScores | readonly ListScores[]): readonly ListScores[] {
  return 'scores' in given ? [given] : given;
}

function listCount(given: ListScores | readonly ListScores[]): number {
  return setsOf(given).reduce((sum, { scores, listLength }) => sum + scores.length / listLength, 0);
}

/**
 * The entropy of softmax(scores / temperature) over one list, in nats. With x = (score − highest) / temperature and
 * Z = Σ e^x it is log Z − Σ x e^x / Z.
 */
export function listEntropy(
  scores: ArrayLike<number>,
  { start, length }: { start: number; length: number },
  temperature: number,
): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let j = start; j < start + length; j++) highest = Math.max(highest, scores[j]!);
  let z = 0;
  let weighted = 0;
  for (let j = start; j < start + length; j++) {
    const x = (scores[j]! - highest) / temperature;
    const e = Math.exp(x);
    z += e;
    // x is -Infinity only where e is 0, and contributes nothing.
    if (e > 0) weighted += x * e;
  }
  return Math.log(z) - weighted / z;
}

/**
 * The temperature at which a teacher's lists are on average as sharp as the student's: its mean entropy equals
 * `studentEntropy`. Entropy only grows with temperature, so bisection finds it. Where the teacher's lists are too flat
 * or too peaked for any temperature from 0.01 to 10 times the scores' range, that bound is taken: a teacher without
 * differences must not have its noise blown up into an order.
 * @throws ListwiseError BAD_DATA where scores lie so far apart that no difference of theirs is a number
 */
export async function matchTemperature(
  teacher: ListScores | readonly ListScores[],
  studentEntropy: number,
  signal?: AbortSignal,
): Promise<TemperatureMatch> {
  const range = scoreRange(setsOf(teacher)) || 1;
  let [low, high] = [Math.log(LOWEST * range), Math.log(HIGHEST * range)];
  const entropyAt = (logarithm: number) => meanEntropy(teacher, Math.exp(logarithm), signal);
  const at = async (logarithm: number, bound?: TemperatureMatch['bound']): Promise<TemperatureMatch> => ({
    temperature: Math.exp(logarithm),
    studentEntropy,
    teacherEntropy: await entropyAt(logarithm),
    lists: listCount(teacher),
    ...(bound && { bound }),
  });
  if ((await entropyAt(low)) >= studentEntropy) return at(low, 'lowest');
  if ((await entropyAt(high)) <= studentEntropy) return at(high, 'highest');
  const breathe = breather(signal);
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if ((await entropyAt(middle)) < studentEntropy) low = middle;
    else high = middle;
    await breathe();
  }
  return at((low + high) / 2);
}

function scoreRange(sets: readonly ListScores[]): number {
  let [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { scores } of sets) {
    for (let i = 0; i < scores.length; i++) {
      lowest = Math.min(lowest, scores[i]!);
      highest = Math.max(highest, scores[i]!);
    }
  }
  if (Number.isFinite(HIGHEST * (highest - lowest))) return highest - lowest;
  throw new ListwiseError(
    'BAD_DATA',
    `Expected teacher scores whose differences are numbers but they go from ${lowest} to ${highest}; bring them nearer ` +
      'together, as by their logarithms, or give teacherTemperature.',
  );
}

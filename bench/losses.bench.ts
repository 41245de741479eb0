import { type LossArgs, type LossGradients, native, runJob } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { type Comparison, requireEqual } from './comparison.js';

const dimension = 384;
const queries = 128;
const passages = 1500;
const listLength = 20;

function unitRows(random: Random, rows: number): Float64Array {
  const out = Float64Array.from({ length: rows * dimension }, () => random.float() - 0.5);
  for (let i = 0; i < rows; i++) {
    const row = out.subarray(i * dimension, (i + 1) * dimension);
    const length = Math.hypot(...row);
    for (let j = 0; j < dimension; j++) row[j] = (row[j] ?? 0) / length;
  }
  return out;
}

/** Lists of distinct passages drawn at random, teacher scores falling from 1. */
function randomBatch(weights: { listwiseWeight: number; contrastiveWeight: number }): LossArgs {
  const random = Random.for(3, 'bench');
  const rows = new Int32Array(queries * listLength);
  for (let i = 0; i < queries; i++) {
    const chosen = new Set<number>();
    while (chosen.size < listLength) chosen.add(random.integer(passages));
    rows.set([...chosen], i * listLength);
  }
  return {
    queries: unitRows(random, queries),
    passages: unitRows(random, passages),
    dimension,
    rows,
    teacher: Float64Array.from({ length: rows.length }, (_, i) => 1 - (i % listLength) / listLength),
    listLength,
    loss: {
      studentTemperature: 0.05,
      teacherTemperature: 0.3,
      contrastiveTemperature: 0.05,
      maskThreshold: 0.6,
      ...weights,
    },
  };
}

/** The score of query i and passage j. */
function score({ queries, passages, dimension }: LossArgs, i: number, j: number): number {
  let sum = 0;
  for (let k = 0; k < dimension; k++) sum += (queries[i * dimension + k] ?? 0) * (passages[j * dimension + k] ?? 0);
  return sum;
}

function addScaled(target: Float64Array, factor: number, source: Float64Array): void {
  for (const [k, value] of source.entries()) target[k] = (target[k] ?? 0) + factor * value;
}

function softmax(values: number[]): number[] {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

type Plain = Pick<LossGradients, 'gradQueries' | 'gradPassages'> & { value: number };

/** The losses as they are defined: query by query, slot by slot. */
function slotBySlot(
  args: LossArgs,
  perQuery: (i: number, slots: number[]) => { loss: number; grad: Map<number, number> },
) {
  const { queries, passages, rows, dimension, listLength } = args;
  const out: Plain = {
    value: 0,
    gradQueries: new Float64Array(queries.length),
    gradPassages: new Float64Array(passages.length),
  };
  const n = rows.length / listLength;
  const row = (matrix: Float64Array, i: number) => matrix.subarray(i * dimension, (i + 1) * dimension);
  for (let i = 0; i < n; i++) {
    const { loss, grad } = perQuery(i, Array.from(rows.subarray(i * listLength, (i + 1) * listLength)));
    out.value += loss / n;
    for (const [j, g] of grad) {
      addScaled(row(out.gradQueries, i), g / n, row(passages, j));
      addScaled(row(out.gradPassages, j), g / n, row(queries, i));
    }
  }
  return out;
}

/** The listwise loss and its gradients. No list may name a passage twice. */
export function plainListwise(args: LossArgs): Plain {
  const { listLength } = args;
  const { studentTemperature, teacherTemperature } = args.loss;
  return slotBySlot(args, (i, slots) => {
    const s = softmax(slots.map((row) => score(args, i, row) / studentTemperature));
    const scores = args.teacher.subarray(i * listLength, (i + 1) * listLength);
    const t = softmax(Array.from(scores, (score) => score / teacherTemperature));
    const loss = t.reduce((sum, p, j) => sum + p * Math.log(p / (s[j] ?? 0)), 0);
    return { loss, grad: new Map(slots.map((row, j) => [row, ((s[j] ?? 0) - (t[j] ?? 0)) / studentTemperature])) };
  });
}

/** InfoNCE and its gradients. */
export function plainContrastive(args: LossArgs): Plain {
  const { listLength } = args;
  const { contrastiveTemperature: tau, maskThreshold } = args.loss;
  return slotBySlot(args, (i, slots) => {
    const bar = maskThreshold * (args.teacher[i * listLength] ?? 0);
    const masked = new Set(slots.filter((_, j) => j === 0 || (args.teacher[i * listLength + j] ?? 0) > bar));
    const rows = [slots[0] ?? 0, ...Array.from(args.rows).filter((row) => !masked.has(row))];
    const p = softmax(rows.map((row) => score(args, i, row) / tau));
    const grad = new Map<number, number>();
    rows.forEach((row, j) => {
      grad.set(row, (grad.get(row) ?? 0) + ((p[j] ?? 0) - (j === 0 ? 1 : 0)) / tau);
    });
    return { loss: -Math.log(p[0] ?? 0), grad };
  });
}

function comparison(name: string, args: LossArgs, plain: (args: LossArgs) => Plain): Comparison {
  const run = () => runJob(() => native().losses(args));
  const baseline = async () => plain(args);
  return {
    name: `${name} with gradients, ${queries} lists of ${listLength}, ${passages} passages`,
    unit: 'slots',
    work: queries * listLength,
    against: 'JavaScript, slot by slot',
    run,
    baseline,
    check: async () => {
      const [a, b] = [await run(), await baseline()];
      requireEqual([a.loss], [b.value], 1e-9);
      requireEqual(a.gradQueries, b.gradQueries, 1e-9);
      requireEqual(a.gradPassages, b.gradPassages, 1e-9);
    },
  };
}

export function lossComparisons(): Comparison[] {
  return [
    comparison('listwise loss', randomBatch({ listwiseWeight: 1, contrastiveWeight: 0 }), plainListwise),
    comparison('InfoNCE', randomBatch({ listwiseWeight: 0, contrastiveWeight: 1 }), plainContrastive),
  ];
}

import { native, runJob, type SearchArgs, type TopK } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { type Comparison, requireEqual } from './comparison.js';

const dimension = 384;
const queries = 32;
const passages = 20_000;
const k = 100;

function randomRows(seed: number, rows: number): Float32Array {
  const random = Random.for(seed, 'bench');
  return Float32Array.from({ length: rows * dimension }, () => random.float() - 0.5);
}

/** All scores of a query, then a sort. */
function plainSearch({ queries: q, corpus }: SearchArgs): TopK {
  const out: TopK = { rows: new Int32Array(queries * k), scores: new Float32Array(queries * k) };
  const scores = new Float64Array(passages);
  for (let i = 0; i < queries; i++) {
    for (let j = 0; j < passages; j++) {
      let sum = 0;
      for (let d = 0; d < dimension; d++) sum += (q[i * dimension + d] ?? 0) * (corpus[j * dimension + d] ?? 0);
      scores[j] = sum;
    }
    const best = Int32Array.from(scores.keys()).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
    out.rows.set(best.subarray(0, k), i * k);
    out.scores.set(
      Float32Array.from(best.subarray(0, k), (row) => scores[row] ?? 0),
      i * k,
    );
  }
  return out;
}

export function searchComparisons(): Comparison[] {
  const args: SearchArgs = {
    queries: randomRows(4, queries),
    corpus: randomRows(5, passages),
    dimension,
    k,
    firstRow: 0,
  };
  const run = () => runJob(() => native().search(args));
  const baseline = async () => plainSearch(args);
  return [
    {
      name: `exact search, ${queries} queries in ${passages} passages of ${dimension} numbers, top ${k}`,
      unit: 'scores',
      work: queries * passages,
      against: 'JavaScript, all scores and a sort',
      run,
      baseline,
      check: async () => {
        const [a, b] = [await run(), await baseline()];
        requireEqual(a.scores, b.scores, 1e-5);
        const same = a.rows.filter((row, i) => row === b.rows[i]).length;
        // Rounding may exchange neighbours whose scores are equal to fp32.
        if (same < 0.999 * a.rows.length) throw new Error(`only ${same} of ${a.rows.length} rows agree`);
      },
    },
  ];
}

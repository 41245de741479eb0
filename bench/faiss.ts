import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { writeNpy } from '../lib/candidates/npy.js';
import { native } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { searchEmbeddings } from '../lib/search.js';

/**
 * `OMP_NUM_THREADS=2 node --import=tsx bench/faiss.ts [PASSAGES] [QUERIES] [ROUNDS]`: exact search beside faiss-cpu's
 * IndexFlatIP in turn, with the same threads, after the results were found equal. LISTWISE_TEST_PYTHON names a Python
 * that has faiss-cpu and numpy. Results go to bench/faiss-results.json.
 */
const [passages = 1_000_000, count = 1000, rounds = 5] = process.argv.slice(2).map(Number);
const dimension = 384;
const k = 100;
const { threads } = native().environment();
const directory = mkdtempSync(join(tmpdir(), 'listwise-bench-'));

/** Rows of unit length in random directions, or near one of some thousand centres, as embeddings of topics are. */
function unitRows(seed: number, rows: number): Float32Array {
  const random = Random.for(seed, 'faiss');
  const centres = Float32Array.from({ length: 1000 * dimension }, () => random.float() - 0.5);
  // Numbers by xorshift, as a billion calls of the seeded generator take minutes.
  let state = seed * 2654435761;
  const noise = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32 - 0.5;
  };
  const matrix = new Float32Array(rows * dimension);
  for (let row = 0; row < rows; row++) {
    const centre = random.integer(1000) * dimension;
    let squares = 0;
    for (let i = 0; i < dimension; i++) {
      const value = centres[centre + i]! + noise();
      matrix[row * dimension + i] = value;
      squares += value * value;
    }
    const length = Math.sqrt(squares);
    for (let i = 0; i < dimension; i++) matrix[row * dimension + i]! /= length;
  }
  return matrix;
}

/** On a machine that others use too, the processor's seconds say more. */
interface Timing {
  seconds: number;
  cpuSeconds: number;
}

function requireSame(ours: { rows: Int32Array; scores: Float32Array }, rows: Int32Array, scores: Float32Array): void {
  let others = 0;
  for (let i = 0; i < rows.length; i++) {
    if (Math.abs(ours.scores[i]! - scores[i]!) > 2e-6) {
      throw new Error(`place ${i % k} of query ${Math.floor(i / k)}: score ${ours.scores[i]}, by faiss ${scores[i]}`);
    }
    if (ours.rows[i] !== rows[i]) others += 1;
  }
  // Rounding exchanges neighbours whose scores agree to six digits.
  if (others > 0.001 * rows.length) throw new Error(`${others} of ${rows.length} rows differ`);
  console.log(`results are equal: scores within 2e-6, ${others} of ${rows.length} rows exchanged between equal scores`);
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

try {
  const corpus = unitRows(1, passages);
  const queries = unitRows(2, count);
  const [corpusFile, queriesFile, results] = ['corpus.npy', 'queries.npy', 'results'].map((name) =>
    join(directory, name),
  );
  await writeNpy(corpusFile!, { rows: passages, columns: dimension, values: corpus });
  await writeNpy(queriesFile!, { rows: count, columns: dimension, values: queries });
  const script = fileURLToPath(new URL('faiss_search.py', import.meta.url));
  const args = [script, corpusFile!, queriesFile!, results!, String(k), String(threads)];
  const python = spawn(process.env['LISTWISE_TEST_PYTHON'] ?? 'python3', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await answers.next();
    if (done) throw new Error('the Python process ended; faiss-cpu and numpy must be installed there');
    return JSON.parse(value);
  };
  const versions = await answer();
  console.log(JSON.stringify({ ...versions, ours: native().environment() }));
  const faiss = async (command: string): Promise<Timing> => {
    python.stdin.write(`${command}\n`);
    return answer();
  };
  const search = async () => {
    const [started, used] = [performance.now(), process.cpuUsage()];
    const best = await searchEmbeddings({ queries, corpus, dimension, k });
    const { user, system } = process.cpuUsage(used);
    return { best, seconds: (performance.now() - started) / 1000, cpuSeconds: (user + system) / 1e6 };
  };
  await faiss('save');
  const bytes = (file: string) => new Uint8Array(readFileSync(file)).buffer;
  const expected = {
    rows: new Int32Array(bytes(`${results}.rows`)),
    scores: new Float32Array(bytes(`${results}.scores`)),
  };
  requireSame((await search()).best, expected.rows, expected.scores);
  const times: { ours: Timing; faiss: Timing }[] = [];
  for (let round = 0; round < rounds; round++) {
    const { seconds, cpuSeconds } = await search();
    const ours = { seconds, cpuSeconds };
    times.push({ ours, faiss: await faiss('time') });
    const shown = Object.entries(times[round]!).map(
      ([name, t]) => `${name} ${t.seconds.toFixed(2)} s (${t.cpuSeconds.toFixed(2)} s of processor)`,
    );
    console.log(`round ${round + 1}: ${shown.join(', ')}`);
  }
  python.stdin.end();
  const ratios = times.map(({ ours, faiss: other }) => other.seconds / ours.seconds);
  const summary = {
    ...{ passages, queries: count, dimension, k, threads, processor: cpus()[0]?.model, versions, times },
    ...{
      secondsOurs: median(times.map((t) => t.ours.seconds)),
      secondsFaiss: median(times.map((t) => t.faiss.seconds)),
    },
    ratio: { minimum: Math.min(...ratios), median: median(ratios), maximum: Math.max(...ratios) },
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
  writeFileSync(fileURLToPath(new URL('faiss-results.json', import.meta.url)), `${JSON.stringify(summary, null, 2)}\n`);
  console.log(
    JSON.stringify(summary.ratio),
    `of faiss's speed; peak memory ${Math.round(summary.peakBytes / 2 ** 20)} MiB`,
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}

// `npm run bench [-- ROUNDS]`: a table on the terminal, and bench/results.json. Each comparison has a process of its own,
// so that what one has V8 or the allocator do is not measured in another: `main.ts ROUNDS NAME` is one of them.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { native } from '../lib/native.js';
import { type Measured, measure } from './comparison.js';
import { encoderComparisons } from './encoder.bench.js';
import { lossComparisons } from './losses.bench.js';
import { searchComparisons } from './search.bench.js';

const [rounds, only] = readArguments(process.argv.slice(2));
const resultsFile = fileURLToPath(new URL('results.json', import.meta.url));

interface Result extends Measured {
  /** Most memory of the process, in bytes. */
  peakBytes: number;
}

function readArguments([first = '5', second]: string[]): [rounds: number, only: string | undefined] {
  const count = Number(first);
  if (Number.isInteger(count) && count >= 1) return [count, second];
  throw new Error(`Expected a whole number of rounds above 0 but received '${first}'.`);
}

function rate(perSecond: number): string {
  const [value, suffix] = perSecond >= 1e6 ? [perSecond / 1e6, 'M'] : [perSecond / 1e3, 'k'];
  return `${value.toPrecision(3)}${suffix}/s`;
}

function describeRow(row: Measured): string {
  const { minimum, median, maximum } = row.ratio;
  const spread = `${median.toFixed(1)}x (${minimum.toFixed(1)} to ${maximum.toFixed(1)})`;
  return [
    row.name,
    `  ${rate(row.perSecond)} ${row.unit}, ${spread} of ${rate(row.baselinePerSecond)} by ${row.against}`,
  ].join('\n');
}

async function inOwnProcess(name: string): Promise<Result> {
  const program = ['--import=tsx', fileURLToPath(import.meta.url), String(rounds), name];
  const { stdout } = await promisify(execFile)(process.execPath, program);
  return JSON.parse(stdout) as Result;
}

const comparisons = [...(await encoderComparisons()), ...lossComparisons(), ...searchComparisons()];
if (only !== undefined) {
  const comparison = comparisons.find(({ name }) => name === only);
  if (!comparison)
    throw new Error(`Expected one of ${comparisons.map(({ name }) => name).join('; ')} but received ${only}.`);
  const measured = await measure(comparison, rounds);
  console.log(JSON.stringify({ ...measured, peakBytes: process.resourceUsage().maxRSS * 1024 } satisfies Result));
} else {
  const environment = { ...native().environment(), processor: cpus()[0]?.model, cores: cpus().length };
  console.log(
    `${environment.processor}, ${environment.threads} threads, libtorch ${environment.torch}, ${environment.kernels}; ` +
      `medians of ${rounds} rounds, ratios with minimum and maximum`,
  );
  const results: Result[] = [];
  for (const { name } of comparisons) {
    const result = await inOwnProcess(name);
    results.push(result);
    console.log(`${describeRow(result)}; ${(result.peakBytes / 2 ** 20).toFixed(0)} MiB at most`);
  }
  writeFileSync(resultsFile, `${JSON.stringify({ environment, rounds, results }, null, 2)}\n`);
  console.log(`written to ${resultsFile}`);
}

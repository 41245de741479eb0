import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { native } from '../lib/native.js';
import { type Measured, measure } from './comparison.js';
import { encoderComparisons } from './encoder.bench.js';
import { lossComparisons } from './losses.bench.js';
import { searchComparisons } from './search.bench.js';

/** `npm run bench [-- ROUNDS]`: a table on the terminal, and bench/results.json. */
const rounds = Number(process.argv[2] ?? 5);
if (!Number.isInteger(rounds) || rounds < 1) {
  throw new Error(`Expected a whole number of rounds above 0 but received '${process.argv[2]}'.`);
}
const resultsFile = fileURLToPath(new URL('results.json', import.meta.url));

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

const environment = { ...native().environment(), processor: cpus()[0]?.model, cores: cpus().length };
console.log(
  `${environment.processor}, ${environment.threads} threads, libtorch ${environment.torch}, ${environment.kernels}; ` +
    `medians of ${rounds} rounds, ratios with minimum and maximum`,
);
const results: Measured[] = [];
for (const comparison of [...(await encoderComparisons()), ...lossComparisons(), ...searchComparisons()]) {
  const measured = await measure(comparison, rounds);
  results.push(measured);
  console.log(describeRow(measured));
}
const peakBytes = process.resourceUsage().maxRSS * 1024;
writeFileSync(resultsFile, `${JSON.stringify({ environment, rounds, peakBytes, results }, null, 2)}\n`);
console.log(`written to ${resultsFile}; peak memory ${(peakBytes / 2 ** 20).toFixed(0)} MiB`);

import { createWriteStream, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { findDuplicates } from '../lib/corpus/duplicates.js';
import { sampleIds } from '../lib/corpus/sample.js';
import { writeJsonl } from '../lib/formats/jsonl.js';
import { Random } from '../lib/random.js';

/**
 * `node --import=tsx bench/corpus.ts [PASSAGES] [DIRECTORY]`: makes up a corpus of MS MARCO's size and lengths, then
 * reads, packs, deduplicates and samples it; time and peak memory of each step, on the terminal and in
 * bench/corpus-results.json. Ten million passages take some 15 GB in the directory, which are removed again.
 */
const passages = Number(process.argv[2] ?? 10_000_000);
const directory = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'listwise-bench-'));
const file = join(directory, 'collection.tsv');

const WORDS = 50_000;
/** Share of passages that repeat another one, whole, or its beginning. */
const REPEATED = 0.05;

/** A made-up language: words by Zipf's law, as long as English ones. */
function vocabulary(random: Random): string[] {
  return Array.from({ length: WORDS }, (_, rank) =>
    Array.from({ length: 1 + Math.ceil(Math.log10(rank + 1) * 1.6) + random.integer(3) }, () =>
      String.fromCharCode(97 + random.integer(26)),
    ).join(''),
  );
}

function* lines(): Generator<string> {
  const random = Random.for(1, 'corpus');
  const words = vocabulary(random);
  const recent: string[] = [];
  let chunk = '';
  for (let i = 0; i < passages; i++) {
    let text: string;
    if (recent.length > 0 && random.float() < REPEATED) {
      const other = recent[random.integer(recent.length)]!;
      text = random.float() < 0.5 ? other : other.slice(0, 40 + random.integer(other.length));
    } else {
      const count = Math.max(8, Math.round(56 + 22 * (random.float() + random.float() + random.float() - 1.5) * 2));
      text = `${Array.from({ length: count }, () => words[Math.floor(WORDS ** random.float()) - 1]).join(' ')}.`;
      recent[recent.length < 5000 ? recent.length : random.integer(5000)] = text;
    }
    chunk += `${i}\t${text}\n`;
    if (chunk.length > 1 << 18) {
      yield chunk;
      chunk = '';
    }
  }
  yield chunk;
}

interface Step {
  step: string;
  seconds: number;
  /** Of the process so far. */
  peakBytes: number;
}

const steps: Step[] = [];

async function timed<T>(step: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  const seconds = (performance.now() - started) / 1000;
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  steps.push({ step, seconds, peakBytes });
  const rate = Math.round(passages / seconds);
  console.log(
    `${step}: ${seconds.toFixed(1)} s, ${rate} passages/s; peak memory ${(peakBytes / 2 ** 20).toFixed(0)} MiB`,
  );
  return result;
}

try {
  await timed('making the corpus up', () => pipeline(lines(), createWriteStream(file)));
  const fileBytes = statSync(file).size;
  const options = { corpusCache: join(directory, 'cache') };
  const corpus = await timed('reading and packing', () => loadCorpus(file, options));
  const again = await timed('opening again', () => loadCorpus(file, options));
  again[Symbol.dispose]?.();
  const duplicates = await timed('deduplication', () => findDuplicates(corpus, { temporaryDirectory: directory }));
  const counts = duplicates.counts();
  await timed('writing duplicates.jsonl', () => writeJsonl(join(directory, 'duplicates.jsonl'), duplicates));
  function* usable(): Generator<string> {
    for (let row = 0; row < corpus.size; row++) if (!duplicates.has(row)) yield corpus.id(row);
  }
  const sample = await timed('sampling 100,000', () => sampleIds(usable(), 100_000, 1));
  const random = Random.for(2, 'rows');
  await timed('a million passages at random', async () => {
    for (let i = 0; i < 1_000_000; i++) corpus.get(String(random.integer(passages)));
  });
  const environment = { processor: cpus()[0]?.model, node: process.version };
  const results = { environment, passages, fileBytes, counts, sampled: sample.length, steps };
  writeFileSync(
    fileURLToPath(new URL('corpus-results.json', import.meta.url)),
    `${JSON.stringify(results, null, 2)}\n`,
  );
  console.log(JSON.stringify(counts));
} finally {
  rmSync(directory, { recursive: true, force: true });
}

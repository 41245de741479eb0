// Bars against what a user would run instead; docs/performance.md says how to run it and has the results.
//   node --import=tsx bench/peers/main.ts [encode score train papers memory linear whole] [--rounds 5] [--threads 2]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { smallModelDirectory } from '../../lib/setup/model.js';
import { leastCosine, requireEqual } from '../comparison.js';
import { bf16Peak } from './flops.js';
import { grow, readPassages, writeLists, writePairs, writeTexts } from './inputs.js';
import { type Flags, interleave, type Output, ours, type Place, peer, type Ratio } from './processes.js';

/** What int8 may turn an embedding by; it is 0.998 for all-MiniLM-L6-v2. */
const LEAST_COSINE = 0.99;
const BARS = ['encode', 'score', 'train', 'papers', 'memory', 'linear'] as const;
/** What is run only where it is named. */
const MORE = ['whole'] as const;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    python: { type: 'string', default: process.env.LISTWISE_TEST_PYTHON ?? 'python3' },
    model: { type: 'string', default: smallModelDirectory() },
    /** The model by which outputs are compared, where that to be timed has random weights: its texts are all alike. */
    'check-model': { type: 'string' },
    corpus: { type: 'string', default: fileURLToPath(new URL('../../test/fixtures/scifact', import.meta.url)) },
    device: { type: 'string', default: 'cpu' },
    /** Every so-manieth passage of the corpus for `encode`, where the whole takes too long. */
    every: { type: 'string', default: '1' },
    /** Queries a step of `train` and of pairs of `score`; both sides' cost is linear in them. */
    queries: { type: 'string', default: '16' },
    /** Of the GPU, dense bf16, where flops.ts does not know it. */
    'peak-tflops': { type: 'string' },
    /** Fewer of everything, to see that the script works; the figures mean nothing then. */
    small: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

const place: Place = { python: values.python, device: values.device, threads: Number(values.threads) };
const rounds = Number(values.rounds);
const isCuda = place.device !== 'cpu';
/** Of an embedding and the peer's of the same text. */
const LEAST_PEER_COSINE = isCuda ? 0.999 : 0.99999;
const directory = mkdtempSync(join(tmpdir(), 'listwise-peers-'));
const file = (name: string) => join(directory, name);
const model = values.model;
const checkModel = values['check-model'] ?? model;
const size = (full: number, small: number) => (values.small ? small : full);
const passages = await readPassages(values.corpus);
const results: Record<string, unknown> = {};

function report(name: string, unit: string, { last, ...ratio }: Ratio): void {
  const { plan, peakBytes } = last.ours;
  results[name] = { unit, ...ratio, ...(plan && { plan, peakBytes }) };
  if (plan) console.log(`${name}: ${plan}; it took ${((peakBytes ?? 0) / 2 ** 30).toFixed(2)} GiB at most`);
  const { minimum, median, maximum } = ratio;
  console.log(
    `${name}: ${ratio.ours.toFixed(1)} ${unit}/s against ${ratio.theirs.toFixed(1)}: ` +
      `${median.toFixed(2)} times (${minimum.toFixed(2)} to ${maximum.toFixed(2)})`,
  );
}

function embeddingsOf(name: string): Float32Array {
  const bytes = readFileSync(file(name));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** Throws where a row of 8 bits points elsewhere than its row in fp32 does; says by how much they differ at most. */
function requireLike(actual: Float32Array, expected: Float32Array, { width, what }: { width: number; what: string }) {
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, one, i) => sum + one * b[i]!, 0);
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers against ${expected.length}`);
  const cosines = Array.from({ length: expected.length / width }, (_, row) => {
    const [a, b] = [actual, expected].map((numbers) => numbers.subarray(row * width, (row + 1) * width));
    return dot(a!, b!) / Math.sqrt(dot(a!, a!) * dot(b!, b!));
  });
  const least = Math.min(...cosines);
  if (!(least >= LEAST_COSINE)) throw new Error(`${what} in int8 have a cosine of ${least} to those in fp32`);
  console.log(`${what} in int8 have a cosine of ${least.toFixed(4)} at least to those in fp32`);
}

function encode(): void {
  const some = passages.filter((_, index) => index % Number(values.every) === 0);
  writeTexts(file('texts.jsonl'), some.slice(0, size(some.length, 40)));
  const flags: Flags = { model, texts: file('texts.jsonl'), 'max-length': 256 };
  const theirs = () => peer('encode', { ...flags, micro: 32, output: file('theirs.f32') }, place);
  const own = (more: Flags) => () => ours('encode', { ...flags, output: file('ours.f32'), ...more }, place);
  const other = { model: checkModel };
  const first = own(other)();
  peer('encode', { ...flags, ...other, micro: 32, output: file('theirs.f32') }, place);
  requireSameEmbeddings(first.work);
  report(`encode, 256 tokens${isCuda ? ', bf16' : ', fp32'}`, 'texts', interleave(rounds, own({}), theirs));
  if (isCuda) return;
  const int8 = own({ precision: 'int8' });
  const expected = embeddingsOf('ours.f32');
  int8();
  requireLike(embeddingsOf('ours.f32'), expected, { width: expected.length / first.work, what: 'embeddings' });
  report('encode, 256 tokens, int8', 'texts', interleave(rounds, int8, theirs));
}

/** In bf16 by the least cosine: single numbers near 0 say little there. */
function requireSameEmbeddings(texts: number): void {
  const [own, theirs] = [embeddingsOf('ours.f32'), embeddingsOf('theirs.f32')];
  if (!isCuda) requireEqual(own, theirs, 1e-5);
  const least = leastCosine(own, theirs, own.length / texts);
  if (!(least >= LEAST_PEER_COSINE)) throw new Error(`an embedding's cosine to the peer's is ${least}`);
  console.log(`encode: embeddings of ${texts} texts agree, least cosine ${least.toFixed(6)}`);
}

/** Pairs of a title with that passage and 19 others, as a reranker gets them; the head is a random one. */
function score(): void {
  const scorer = file('cross-encoder');
  peer('head', { model, 'max-length': 512, output: scorer }, place);
  writePairs(file('pairs.jsonl'), passages, size(Number(values.queries), 2));
  const flags: Flags = { model: scorer, pairs: file('pairs.jsonl'), 'max-length': 512 };
  const theirs = () => peer('score', { ...flags, micro: 32, output: file('theirs.f32') }, place);
  const own = (more: Flags) => () => ours('score', { ...flags, output: file('ours.f32'), ...more }, place);
  const [first] = [own({})(), theirs()];
  requireEqual(embeddingsOf('ours.f32'), embeddingsOf('theirs.f32'), isCuda ? 0.05 : 1e-4);
  console.log(`score: scores of ${first.work} pairs agree`);
  report(`score, 512 tokens${isCuda ? ', bf16' : ', fp32'}`, 'pairs', interleave(rounds, own({}), theirs));
  if (isCuda) return;
  const int8 = own({ precision: 'int8' });
  const expected = embeddingsOf('ours.f32');
  int8();
  requireLike(embeddingsOf('ours.f32'), expected, { width: expected.length, what: 'scores' });
  report('score, 512 tokens, int8', 'pairs', interleave(rounds, int8, theirs));
}

/** Each of the losses of the first step by itself, for the larger would hide the other; with the model for checks. */
function requireSameLosses(flags: Flags): void {
  const few = { ...flags, model: checkModel, steps: 1 };
  const [own, theirs] = [ours('train', few, place).losses![0]!, peer('train', few, place).losses![0]!];
  const names = ['listwise', 'contrastive'];
  names.forEach((_, i) => requireEqual([own[i]!], [theirs[i]!], isCuda ? 0.02 : 1e-4));
  console.log(names.map((name, i) => `${name} loss ${own[i]} and ${theirs[i]}`).join(', '));
}

/**
 * How much of the GPU's dense bf16 peak whole steps reach, the loss and the optimiser included: at least as much as the
 * encoder's passes by themselves. The backward pass takes twice the operations of a forward pass; what was computed
 * twice for want of memory counts as work in the second figure only.
 */
function reportShare(name: string, { ours: own, theirs }: Ratio['last']): void {
  const peak = Number(values['peak-tflops'] ?? 0) * 1e12 || bf16Peak(theirs.gpu ?? '');
  if (!peak) return console.log(`${name}: no share of the peak: give --peak-tflops for ${theirs.gpu ?? 'this GPU'}`);
  const perSecond = (passes: number) => (passes * own.flops!) / own.stepSeconds!;
  const needed = perSecond(3) / peak;
  const done = perSecond(3 + own.recomputedTokens! / own.tokens!) / peak;
  results[`${name}, share of peak`] = { gpu: theirs.gpu, peak, needed, done, ...own };
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  console.log(
    `${name}: ${percent(done)} of the ${(peak / 1e12).toFixed(0)} TFLOP/s of ${theirs.gpu}, ${percent(needed)} without ` +
      `what was computed twice; step of ${own.tokens} tokens in ${own.stepSeconds!.toFixed(2)} s`,
  );
}

/**
 * The papers' step where no passage repeats: what packing and the hand-written passes give by themselves. On a GPU the
 * median of three steps, for the first one makes room.
 */
function train(): void {
  const queries = size(Number(values.queries), 4);
  writeLists(file('distinct.jsonl'), passages, { queries, distinct: true });
  const flags: Flags = { model, lists: file('distinct.jsonl'), 'max-length': 512, steps: isCuda ? 3 : 1 };
  const [own, theirs] = [() => ours('train', flags, place), () => peer('train', flags, place)];
  const few = { ...flags, queries: Math.min(queries, 64) };
  requireSameLosses(few);
  const name = `train, ${queries} x 20 distinct passages, 512 tokens`;
  const ratio = interleave(rounds, own, theirs);
  report(name, 'slots', ratio);
  if (isCuda) reportShare(name, ratio.last);
}

/** The papers' batch: the peer's cost is linear in slots, so its rate is taken from a batch of 64. */
function papers(): void {
  const [queries, some, length] = [size(4096, 32), size(64, 4), isCuda ? 512 : 64];
  writeLists(file('papers.jsonl'), passages, { queries });
  const flags: Flags = { model, lists: file('papers.jsonl'), 'max-length': length, steps: isCuda ? 3 : 1 };
  const few = { ...flags, queries: some };
  requireSameLosses(few);
  const name = `train, ${queries} x 20, ${length} tokens`;
  const [own, theirs] = [() => ours('train', flags, place), () => peer('train', few, place)];
  const ratio = interleave(rounds, own, theirs);
  report(name, 'slots', ratio);
  if (isCuda) reportShare(name, ratio.last);
}

/**
 * The papers' 4,096 queries of 20 where no passage repeats, once: one step of ours, and the peer's rate from 64 queries.
 * Against `train`, whose cost a slot is the same but for InfoNCE's products, which are queries times passages.
 */
function whole(): void {
  const [queries, some] = [size(4096, 8), size(64, 4)];
  writeLists(file('whole.jsonl'), grow(passages, queries * 20), { queries, distinct: true });
  const flags: Flags = { model, lists: file('whole.jsonl'), 'max-length': 512 };
  const [own, theirs] = [() => ours('train', flags, place), () => peer('train', { ...flags, queries: some }, place)];
  const name = `train, ${queries} x 20 distinct passages, 512 tokens, one step`;
  const ratio = interleave(1, own, theirs);
  report(name, 'slots', ratio);
  if (isCuda) reportShare(name, ratio.last);
}

/** A step's peak, computing everything twice, at 64 and at 512 queries of 20: the bar is that embeddings alone add to it. */
function memory(): void {
  const [less, more] = [size(64, 4), size(512, 32)];
  const corpus = grow(passages, more * 20);
  const measured = [less, more].map((queries) => {
    writeLists(file('memory.jsonl'), corpus, { queries, distinct: true });
    const flags: Flags = { model, lists: file('memory.jsonl'), 'max-length': 64, 'keep-bytes': 0 };
    return ours('train', flags, place);
  });
  const [small, large] = measured as [Output, Output];
  const texts = ({ passages: count = 0 }: Output, queries: number) => count + queries;
  const embeddings = 4 * large.dimension! * (texts(large, more) - texts(small, less));
  const mega = (bytes = 0) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  results.memory = { small, large, embeddings };
  console.log(
    `memory: a step takes ${mega(large.peakBytes)} at ${more} x 20 and ${mega(small.peakBytes)} at ${less} x 20 ` +
      `(difference ${mega(large.peakBytes! - small.peakBytes!)}, embeddings ${mega(embeddings)}); ` +
      `process ${mega(large.peakRss)} and ${mega(small.peakRss)}`,
  );
  // Of many micro-batches some fill the budget to its last tokens, which few need not: a hundredth is for that.
  const excess = large.peakBytes! - small.peakBytes! - embeddings - small.peakBytes! / 100;
  if (excess > 0) throw new Error(`memory: the larger step takes ${mega(excess)} more than the embeddings explain`);
}

/** Seconds a step by unique passages, each in about five slots; nothing is kept, so that all of them compute alike. */
function linear(): void {
  const counts = values.small ? [100, 200] : [1000, 4000, 16_000];
  const rows = counts.map((count) => {
    writeLists(file('linear.jsonl'), grow(passages, count), { queries: count / 4 });
    const flags: Flags = { model, lists: file('linear.jsonl'), 'max-length': 64, 'keep-bytes': 0 };
    const output = ours('train', flags, place);
    console.log(
      `linear: ${output.passages} passages, ${output.tokens} tokens: ${output.seconds.toFixed(2)} s, ` +
        `${((output.seconds / output.tokens!) * 1e6).toFixed(0)} µs a token`,
    );
    return output;
  });
  results.linear = rows;
}

const run = { encode, score, train, papers, memory, linear, whole };
const wanted = positionals.length > 0 ? positionals : BARS;
console.log(`${cpus()[0]?.model}, ${place.device}, ${place.threads} threads, medians of ${rounds} rounds`);
try {
  for (const bar of wanted) {
    if (!(bar in run)) throw new Error(`Expected bars out of ${[...BARS, ...MORE].join(', ')} but received "${bar}".`);
    run[bar as keyof typeof run]();
    console.log(`${bar} is done after ${(performance.now() / 60_000).toFixed(1)} minutes`);
    // After each, so that what was measured is there if the rest is stopped.
    if (values.json) writeFileSync(values.json, `${JSON.stringify({ ...place, rounds, results }, null, 2)}\n`);
  }
} finally {
  rmSync(directory, { recursive: true });
}

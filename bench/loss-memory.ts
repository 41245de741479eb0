// Memory and time of the loss and its gradient at the papers' size: 4,096 queries and 82,000 distinct passages of 768
// dimensions. What is measured is whole training steps, of an encoder so small that its own share hardly counts: one
// layer of 16 numbers, texts of 8 tokens, and a dense layer to 768. The losses and the gradient that reach the dense
// layer's bias are compared first, at a smaller size, with the definitions, slot by slot.
//   node --import=tsx bench/loss-memory.ts [--queries 4096] [--passages 20500,82000] [--list-length 24] [--json FILE]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readModelDirectory } from '../lib/models/directory.js';
import { type NativeEncoder, native, type PackedTexts, runJob, type StepArgs } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { tinyConfig, writeSafetensors, writeTinyModel } from '../test/helpers.js';
import { requireEqual } from './comparison.js';
import { plainContrastive, plainListwise } from './losses.bench.js';

const DIMENSION = 768;
/** Of the encoder's states. */
const WIDTH = 16;
/** Tokens of a text. */
const LENGTH = 8;
const MiB = 2 ** 20;

const { values } = parseArgs({
  options: {
    queries: { type: 'string', default: '4096' },
    passages: { type: 'string', default: '20500,82000' },
    'list-length': { type: 'string', default: '24' },
    json: { type: 'string' },
  },
});
const listLength = Number(values['list-length']);

function texts(random: Random, count: number): PackedTexts {
  return {
    ids: Int32Array.from({ length: count * LENGTH }, () => random.integer(tinyConfig.vocab_size)),
    offsets: Int32Array.from({ length: count + 1 }, (_, i) => i * LENGTH),
  };
}

/**
 * Lists that name each passage once, dealt out like cards, and in their last places passages of other lists again. Of
 * each list the better part scores above the mask's threshold.
 */
function batch(queries: number, passages: number): StepArgs {
  const random = Random.for(1, 'loss memory', passages);
  const slots = queries * listLength;
  if (slots < passages)
    throw new Error(`Lists of ${listLength} for ${queries} queries do not name ${passages} passages`);
  const lists = Array.from({ length: queries }, () => new Set<number>());
  for (let slot = 0; slot < slots; slot++) {
    const list = lists[slot % queries]!;
    let row = slot;
    while (row >= passages || list.has(row)) row = random.integer(passages);
    list.add(row);
  }
  const rows = Int32Array.from(lists.flatMap((list) => [...list]));
  return {
    ...{ queries: texts(random, queries), passages: texts(random, passages), rows, listLength },
    teacher: Float64Array.from(rows, (_, slot) => 1 - (slot % listLength) / listLength),
    ...{ pooling: 'mean', tokenBudget: 4096, keepBytes: 0, learningRate: 0 },
    loss: {
      ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.01 },
      ...{ contrastiveWeight: 0.1, listwiseWeight: 1, maskThreshold: 0.6 },
    },
  };
}

/** Most bytes that the process had in memory since `resetPeak`, and those that it has now; Linux counts them. */
function resident(): { peak: number; now: number } {
  const status = readFileSync('/proc/self/status', 'utf8');
  const of = (name: string) => Number(new RegExp(`${name}:\\s*(\\d+)`).exec(status)![1]) * 1024;
  return { peak: of('VmHWM'), now: of('VmRSS') };
}

const resetPeak = () => writeFileSync('/proc/self/clear_refs', '5');

async function narrowEncoder(directory: string): Promise<NativeEncoder> {
  const config = { hidden_size: WIDTH, num_attention_heads: 1, intermediate_size: WIDTH, num_hidden_layers: 1 };
  const model = await readModelDirectory(writeTinyModel(join(directory, 'encoder'), { config }));
  const { architecture, weightNames, weightFiles: files } = model;
  const random = Random.for(2, 'loss memory');
  const numbers = (count: number) => Float32Array.from({ length: count }, () => random.float() - 0.5);
  const file = join(directory, 'dense.safetensors');
  writeSafetensors(file, {
    'linear.weight': { shape: [DIMENSION, WIDTH], values: numbers(DIMENSION * WIDTH) },
    'linear.bias': { shape: [DIMENSION], values: numbers(DIMENSION) },
  });
  const dense = [{ file, inputs: WIDTH, outputs: DIMENSION, bias: true, activation: 'tanh' as const }];
  return runJob(() =>
    native().loadEncoder({ files, architecture, weightNames, dense, device: 'cpu', precision: 'fp32' }),
  );
}

const directory = mkdtempSync(join(tmpdir(), 'listwise-loss-'));
const encoder = await narrowEncoder(directory);
const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };
const trainer = native().createTrainer(encoder, optimizer);

async function encode(packed: PackedTexts, normalize: boolean): Promise<Float64Array> {
  const args = { ...packed, pooling: 'mean', normalize, tokenBudget: 4096 } as const;
  return Float64Array.from(await runJob(() => encoder.encode(args)));
}

/** The gradient of the bias of a dense layer with tanh, by the chain rule from that of embeddings of unit length. */
async function biasGradient(packed: PackedTexts, gradient: Float64Array, into: Float64Array): Promise<void> {
  const vectors = await encode(packed, false);
  for (let start = 0; start < vectors.length; start += DIMENSION) {
    const [vector, own] = [vectors.subarray(start, start + DIMENSION), gradient.subarray(start, start + DIMENSION)];
    const length = Math.hypot(...vector);
    const along = vector.reduce((sum, value, i) => sum + (value / length) * own[i]!, 0);
    for (const [i, value] of vector.entries()) {
      into[i]! += ((own[i]! - (value / length) * along) / length) * (1 - value * value);
    }
  }
}

/** Throws unless a step's losses and gradient are those of the definitions. */
async function check(): Promise<void> {
  const args = batch(96, 1500);
  const { contrastiveWeight } = args.loss;
  const [queries, passages] = [await encode(args.queries, true), await encode(args.passages, true)];
  const plain = { ...args, queries, passages, dimension: DIMENSION };
  const [listwise, contrastive] = [plainListwise(plain), plainContrastive(plain)];
  const result = await runJob(() => trainer.step(args));
  requireEqual([result.listwise], [listwise.value], 1e-5);
  requireEqual([result.contrastive!], [contrastive.value], 1e-5);
  const join = (one: Float64Array, other: Float64Array) => one.map((value, i) => value + contrastiveWeight * other[i]!);
  const expected = new Float64Array(DIMENSION);
  await biasGradient(args.queries, join(listwise.gradQueries, contrastive.gradQueries), expected);
  await biasGradient(args.passages, join(listwise.gradPassages, contrastive.gradPassages), expected);
  requireEqual(trainer.gradient('dense.0.linear.bias'), expected, 1e-4);
}

async function measure(queries: number, passages: number) {
  const args = batch(queries, passages);
  const timed = async (contrastiveWeight: number) => {
    const before = resident().now;
    resetPeak();
    const started = performance.now();
    const result = await runJob(() => trainer.step({ ...args, loss: { ...args.loss, contrastiveWeight } }));
    const seconds = (performance.now() - started) / 1000;
    return { ...result, seconds, grownBytes: resident().peak - before };
  };
  // Without a weight for InfoNCE a step computes the lists' own scores alone: encoder, listwise loss and optimiser.
  const [without, whole] = [await timed(0), await timed(0.1)];
  const embeddingBytes = 4 * DIMENSION * (queries + passages);
  const { peakBytes, grownBytes, seconds } = whole;
  return {
    ...{ queries, passages, slots: args.rows.length, embeddingBytes, peakBytes, grownBytes, seconds },
    ...{ besideBytes: peakBytes - embeddingBytes, secondsWithoutContrastive: without.seconds },
  };
}

try {
  const { threads, kernels, torch } = native().environment();
  console.log(`${cpus()[0]?.model}, ${threads} threads, libtorch ${torch}, ${kernels}`);
  await check();
  console.log('a step on 96 x 24 of 1,500 passages: losses and gradient are those of the definitions');
  const results = [];
  for (const passages of values.passages.split(',').map(Number)) {
    const one = await measure(Number(values.queries), passages);
    const mega = (bytes: number) => `${(bytes / MiB).toFixed(0)} MiB`;
    console.log(
      `${one.queries} queries, ${one.passages} passages in ${one.slots} slots: ${mega(one.peakBytes)} at most beside the ` +
        `model, its gradient and moments, of which embeddings, whose place their gradient takes, ${mega(one.embeddingBytes)} ` +
        `and all else ${mega(one.besideBytes)}; the process grew by ${mega(one.grownBytes)}; ${one.seconds.toFixed(1)} s a ` +
        `step, ${one.secondsWithoutContrastive.toFixed(1)} s without InfoNCE`,
    );
    results.push(one);
  }
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ threads, kernels, torch, results }, null, 2)}\n`);
} finally {
  trainer.dispose();
  encoder.dispose();
  rmSync(directory, { recursive: true });
}

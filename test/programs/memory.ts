// Takes a training step with plenty of memory and again under a real limit on the process's address space, and prints
// what became of it, for test/memory.spec.ts. Arguments: keepBytes, and the megabytes that the limit leaves; or
// 'measure', keepBytes, tokenBudget and pooling for what a step takes without a limit;
// or 'many' for what steps over eight and 32 lists take; or 'again' for what steps leave for the next.
import { setTimeout } from 'node:timers/promises';
import { readModelDirectory } from '../../lib/models/directory.js';
import { type EncoderSpec, native, type PackedTexts, type Pooling, runJob, type StepArgs } from '../../lib/native.js';
import { Random } from '../../lib/random.js';
import { limitAddressSpace } from '../address-space.js';
import { norm, writeTinyModel } from '../helpers.js';

const config = { hidden_size: 256, num_attention_heads: 4, intermediate_size: 1024, max_position_embeddings: 160 };
const [QUERIES, LIST, LENGTH] = [8, 5, 120];
const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };

function texts(count: number, length: number, seed: number): PackedTexts {
  const random = Random.for(seed, 'memory');
  return {
    ids: Int32Array.from({ length: count * length }, () => random.integer(50)),
    offsets: Int32Array.from({ length: count + 1 }, (_, i) => i * length),
  };
}

function stepArgs(keepBytes: number, tokenBudget: number, { queries = QUERIES, length = LENGTH } = {}): StepArgs {
  const random = Random.for(3, 'memory');
  return {
    queries: texts(queries, 10, 1),
    passages: texts(queries * LIST, length, 2),
    rows: Int32Array.from({ length: queries * LIST }, (_, i) => i),
    teacher: Float64Array.from({ length: queries * LIST }, () => random.float()),
    listLength: LIST,
    ...{ pooling: 'mean', tokenBudget, keepBytes, learningRate: 1e-3 },
    loss: {
      ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.05 },
      ...{ contrastiveWeight: 0.1, listwiseWeight: 1, maskThreshold: 0.6 },
    },
  };
}

/** What this process has, once it is below a bound, or after some seconds: a thread gives memory back. */
async function leastRss(bound: number): Promise<number> {
  for (let i = 0; i < 100 && process.memoryUsage.rss() > bound; i++) await setTimeout(50);
  return process.memoryUsage.rss();
}

async function trainerOf(spec: EncoderSpec) {
  const encoder = await runJob(() => native().loadEncoder(spec));
  const trainer = native().createTrainer(encoder, optimizer);
  const gradient = () => encoder.parameterNames().map((name) => trainer.gradient(name));
  return { encoder, trainer, gradient };
}

const {
  architecture,
  weightNames,
  weightFiles: files,
} = await readModelDirectory(writeTinyModel(undefined, { config }));
const spec: EncoderSpec = { files, architecture, weightNames, device: 'cpu', precision: 'fp32' };

if (process.argv[2] === 'measure') {
  const { trainer } = await trainerOf(spec);
  const [keepBytes, tokenBudget] = process.argv.slice(3, 5).map(Number) as [number, number];
  const pooling = process.argv[5] as Pooling;
  const before = trainer.memory();
  const result = await runJob(() => trainer.step({ ...stepArgs(keepBytes, tokenBudget), pooling }));
  console.log(JSON.stringify({ before, after: trainer.memory(), result }));
} else if (process.argv[2] === 'many') {
  const { trainer } = await trainerOf(spec);
  // Gradient and moments are made by a step that is not counted.
  await runJob(() => trainer.step(stepArgs(0, 200)));
  const few = await runJob(() => trainer.step(stepArgs(0, 1440)));
  const many = await runJob(() => trainer.step(stepArgs(0, 1440, { queries: 4 * QUERIES })));
  console.log(JSON.stringify({ memory: trainer.memory(), few, many }));
} else if (process.argv[2] === 'again') {
  const { trainer, gradient } = await trainerOf(spec);
  const rows = [];
  const plenty = 2 ** 30;
  // The same step twice, one of other texts, which what was left does not fit, and one planned with little memory.
  const texts = [LENGTH, LENGTH, Math.round(LENGTH * 0.7)];
  const all = [...texts.map((length) => stepArgs(plenty, 1320, { length })), stepArgs(0, 240)];
  for (const args of all) {
    const result = await runJob(() => trainer.step({ ...args, learningRate: 0 }));
    const { idleBytes } = trainer.memory();
    rows.push({ result, idleBytes, rss: process.memoryUsage.rss(), gradient: norm(gradient().map(norm)) });
  }
  await runJob(() => trainer.step({ ...all[0]!, learningRate: 0 }));
  const before = { idleBytes: trainer.memory().idleBytes, rss: process.memoryUsage.rss() };
  // Another trainer that is there does not keep it.
  const other = await trainerOf(spec);
  trainer.dispose();
  const { idleBytes } = other.trainer.memory();
  const rss = await leastRss(before.rss - 0.8 * before.idleBytes);
  console.log(JSON.stringify({ rows, before, after: { idleBytes, rss } }));
} else {
  const [keepBytes, megabytes] = process.argv.slice(2).map(Number) as [number, number];
  const free = await trainerOf(spec);
  const args = stepArgs(keepBytes, 8192);
  const expected = await runJob(() => free.trainer.step(args));
  const wanted = free.gradient();
  const bound = await trainerOf(spec);
  // Gradient and moments are made by a step that leaves the weights: only the work of the second is bounded. Its texts are
  // so short that the blocks it leaves are of no use.
  await runJob(() => bound.trainer.step({ ...stepArgs(0, 10, { length: 4 }), learningRate: 0 }));
  limitAddressSpace(megabytes);
  const outcome = await runJob(() => bound.trainer.step(args)).then(
    (result) => ({ result }),
    (error) => ({ code: error.code, message: error.message }),
  );
  limitAddressSpace();
  if ('code' in outcome) await runJob(() => bound.trainer.step(args));
  const offs = bound.gradient().map((values, i) => norm(values.map((value, j) => value - wanted[i]![j]!)));
  const off = norm(offs) / norm(wanted.map((values) => norm(values)));
  console.log(JSON.stringify({ ...outcome, off, steps: bound.trainer.steps, loss: expected.loss }));
}

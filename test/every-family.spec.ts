import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { readCrossEncoderDirectory } from '../lib/models/cross-encoder-directory.js';
import { readModelDirectory } from '../lib/models/directory.js';
import { gatherTexts } from '../lib/models/packed-texts.js';
import { poolings } from '../lib/models/settings.js';
import { type BatchArgs, type EncoderSpec, native, type PackedTexts, runJob } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { expectClose, norm, readSafetensors, type Tensors, temporaryDirectory, writeSafetensors } from './helpers.js';

const models = fileURLToPath(new URL('fixtures/parity/models', import.meta.url));
const FAMILIES = [
  ...['roberta', 'distilbert', 'mpnet', 't5-encoder', 't5-encoder-gated', 'modernbert', 'new', 'new-ntk', 'gte'],
];
const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };
const loss = {
  ...{ studentTemperature: 0.3, teacherTemperature: 0.3, contrastiveTemperature: 0.5 },
  ...{ contrastiveWeight: 0.5, listwiseWeight: 1, maskThreshold: 0.6 },
};

async function specOf(name: string, change: Partial<EncoderSpec> = {}): Promise<EncoderSpec> {
  const { weightFiles: files, architecture, weightNames } = await readModelDirectory(join(models, name));
  return { files, architecture, weightNames, device: 'cpu', precision: 'fp32', ...change };
}

function randomIds(lengths: readonly number[], seed: number): PackedTexts {
  const random = Random.for(seed, 'ids');
  const offsets = new Int32Array(lengths.length + 1);
  for (const [i, length] of lengths.entries()) offsets[i + 1] = offsets[i]! + length;
  return { ids: Int32Array.from({ length: offsets.at(-1)! }, () => 4 + random.integer(92)), offsets };
}

async function encode(spec: EncoderSpec, texts: PackedTexts): Promise<Float32Array> {
  const encoder = await runJob(() => native().loadEncoder(spec));
  const args = { ...texts, pooling: 'mean', normalize: true, tokenBudget: 4096 } as const;
  const embeddings = await runJob(() => encoder.encode(args));
  encoder.dispose();
  return embeddings;
}

/** 6 queries with lists of 4 out of 9 passages. */
function batchOf(lengths: { queries: number[]; passages: number[] }): BatchArgs {
  const random = Random.for(5, 'lists');
  const all = Array.from({ length: lengths.passages.length }, (_, row) => row);
  const rows = lengths.queries.flatMap(() => random.shuffle([...all]).slice(0, 4));
  return {
    queries: randomIds(lengths.queries, 1),
    passages: randomIds(lengths.passages, 2),
    rows: Int32Array.from(rows),
    teacher: Float64Array.from(rows, (_, slot) => [0.9, 0.7, 0.4, 0.1][slot % 4]!),
    ...{ listLength: 4, pooling: 'mean', tokenBudget: 4096, keepBytes: 2 ** 30, loss },
  };
}

const shortBatch = batchOf({ queries: [3, 5, 2, 8, 4, 6], passages: [12, 30, 7, 22, 1, 18, 25, 9, 15] });

async function gradientsOf(spec: EncoderSpec, batch: BatchArgs): Promise<Map<string, Float32Array>> {
  const encoder = await runJob(() => native().loadEncoder(spec));
  const trainer = native().createTrainer(encoder, optimizer);
  await runJob(() => trainer.step({ ...batch, learningRate: 0 }));
  const gradients = new Map(encoder.parameterNames().map((name) => [name, trainer.gradient(name)]));
  trainer.dispose();
  encoder.dispose();
  return gradients;
}

async function lossOf(spec: EncoderSpec, batch: BatchArgs): Promise<number> {
  const encoder = await runJob(() => native().loadEncoder(spec));
  const trainer = native().createTrainer(encoder, optimizer);
  const result = await runJob(() => trainer.evaluate(batch));
  trainer.dispose();
  encoder.dispose();
  return result.loss;
}

/** Weights with one tensor moved along a direction. */
function moved(weights: Tensors, name: string, by: ArrayLike<number>): Tensors {
  const { shape, values } = weights[name]!;
  return { ...weights, [name]: { shape, values: values.map((value, i) => value + by[i]!) } };
}

/** What a gradient's length is compared with: of the whole model's. The keys' bias has none, in theory. */
function lengthOf(gradients: Map<string, Float32Array>): number {
  return Math.sqrt([...gradients.values()].reduce((sum, gradient) => sum + norm(gradient) ** 2, 0));
}

function expectSame(actual: Map<string, Float32Array>, expected: Map<string, Float32Array>): void {
  const whole = lengthOf(expected);
  for (const [name, gradient] of expected) {
    expectClose(actual.get(name)!, gradient, { atol: 1e-5 * norm(gradient) + 1e-6 * whole }, `gradient of ${name}`);
  }
}

/**
 * Compares the gradient of each tensor with what a step along it does to the loss.
 * @returns how many tensors were compared
 */
async function checkGradients(spec: EncoderSpec, batch: BatchArgs, tolerance = 0.02): Promise<number> {
  const gradients = await gradientsOf(spec, batch);
  const whole = lengthOf(gradients);
  const weights = await allWeights(spec);
  const file = join(temporaryDirectory(), 'moved.safetensors');
  let compared = 0;
  for (const [tensor, gradient] of gradients) {
    const length = norm(gradient);
    // The keys' biases move all scores of a query alike.
    if (/(key|k_lin|attn\.k)\.bias$/.test(tensor)) {
      expect(length / whole, tensor).to.be.below(1e-4);
      continue;
    }
    expect(length / whole, `share of ${tensor}`).to.be.above(3e-4);
    // So long a step along the gradient that the loss changes by about 0.002, well above its rounding errors.
    const step = Math.min(0.002 / length, 0.05);
    const lossAt = async (steps: number) => {
      const by = gradient.map((value) => (steps * step * value) / length);
      writeSafetensors(file, moved(weights, tensor, by));
      return lossOf({ ...spec, files: [file] }, batch);
    };
    // The central difference of fourth order: the loss is far from straight over such steps.
    const near = (await lossAt(1)) - (await lossAt(-1));
    const far = (await lossAt(2)) - (await lossAt(-2));
    expect((8 * near - far) / (12 * step * length), tensor).to.be.closeTo(1, tolerance);
    compared++;
  }
  return compared;
}

/** Every weight, those of dense layers under the names that they have in one file with the others. */
async function allWeights(spec: EncoderSpec): Promise<Tensors> {
  const encoder = await runJob(() => native().loadEncoder(spec));
  const file = join(temporaryDirectory(), 'all.safetensors');
  await runJob(() => encoder.save({ file }));
  encoder.dispose();
  return readSafetensors(file);
}

for (const name of FAMILIES) {
  describe(`the packed block as ${name}`, () => {
    it('gives packed texts what they get one at a time', async () => {
      const spec = await specOf(name);
      const texts = randomIds([1, 17, 30, 2, 16, 23, 8], 3);
      const packed = await encode(spec, texts);
      const alone: number[] = [];
      for (let row = 0; row < 7; row++) alone.push(...(await encode(spec, gatherTexts(texts, [row]))));
      expect(norm(alone)).to.be.closeTo(Math.sqrt(7), 1e-3);
      expectClose(packed, alone, { atol: 2e-6 }, 'embeddings');
    });

    it('has the gradient that finite differences show, tensor by tensor', async () => {
      expect(await checkGradients(await specOf(name), shortBatch)).to.be.above(15);
    });

    it('computes texts of several blocks of queries as plain library operations do, forward and backward', async () => {
      const base = await specOf(name);
      // Positions that are computed, and not looked up, have no end.
      const isLong = base.architecture.positionRows === 0;
      const spec = { ...base, architecture: { ...base.architecture, ...(isLong && { maxPositions: 400 }) } };
      const portable: EncoderSpec = { ...spec, kernels: 'portable' };
      const texts = isLong ? randomIds([300, 65, 64, 129, 3, 200], 4) : randomIds([38, 17, 16, 33, 3], 4);
      // As a GPU does it: rows by shared code, attention in groups of texts of similar length.
      const device: EncoderSpec = { ...spec, kernels: 'device' };
      expectClose(await encode(spec, texts), await encode(portable, texts), { atol: 2e-6 }, 'embeddings');
      expectClose(await encode(device, texts), await encode(portable, texts), { atol: 2e-6 }, 'embeddings');
      const batch = isLong
        ? batchOf({ queries: [3, 70, 12, 5, 31, 6], passages: [190, 65, 64, 129, 3, 200, 17, 48, 150] })
        : shortBatch;
      const expected = await gradientsOf(portable, batch);
      expectSame(await gradientsOf(spec, batch), expected);
      expectSame(await gradientsOf(device, batch), expected);
    });
  });
}

describe('pooling and dense layers', () => {
  // Dense layers bring embeddings closer to each other: sharper losses keep differences above rounding errors.
  const sharp = { ...loss, studentTemperature: 0.1, contrastiveTemperature: 0.1 };
  const activations = ['relu', 'tanh', 'identity', 'gelu', 'sigmoid', 'tanh'] as const;
  for (const [i, pooling] of poolings.entries()) {
    const activation = activations[i]!;
    it(`have the gradient that finite differences show (${pooling}, ${activation})`, async () => {
      const random = Random.for(i, 'dense');
      const file = join(temporaryDirectory(), 'dense.safetensors');
      // Differences over relu's kink are not the gradient: half of its units are always on, half never.
      const bias = (unit: number) => (activation === 'relu' ? (unit % 2) * 6 - 3 : random.float() - 0.5);
      const biases = Float32Array.from({ length: 24 }, (_, unit) => bias(unit));
      writeSafetensors(file, {
        'linear.weight': {
          shape: [24, 32],
          values: Float32Array.from({ length: 24 * 32 }, () => random.float() - 0.5),
        },
        'linear.bias': { shape: [24], values: biases },
      });
      const dense = [{ file, inputs: 32, outputs: 24, bias: true, activation }];
      const batch = { ...shortBatch, pooling, loss: sharp };
      // The place of a maximum jumps from one token to another.
      const tolerance = pooling === 'max' ? 0.06 : 0.02;
      expect(await checkGradients(await specOf('gte', { dense }), batch, tolerance)).to.be.above(15);
    });
  }
});

describe("a cross-encoder's head", () => {
  const heads = fileURLToPath(new URL('fixtures/parity/cross-encoders', import.meta.url));
  const sharp = { ...loss, studentTemperature: 0.1, contrastiveTemperature: 0.1 };
  /** The second part of each text begins after a third of it. */
  const asPairs = (texts: PackedTexts): PackedTexts => ({
    ...texts,
    secondStarts: Int32Array.from({ length: texts.offsets.length - 1 }, (_, i) =>
      Math.ceil((texts.offsets[i + 1]! - texts.offsets[i]!) / 3),
    ),
  });

  for (const name of ['bert', 'modernbert-mean']) {
    it(`and token types have the gradient that finite differences show (${name})`, async () => {
      const {
        architecture,
        weightNames,
        weightFiles: files,
        head,
      } = await readCrossEncoderDirectory(join(heads, name));
      // The first layer, with its norm: a single logit of unit length would have no gradient.
      const spec: EncoderSpec = {
        ...{ files, architecture, weightNames, dense: head.dense.slice(0, 1), device: 'cpu', precision: 'fp32' },
      };
      const small = (texts: PackedTexts) => asPairs({ ...texts, ids: texts.ids.map((id) => id % 57) });
      const pairs = { queries: small(shortBatch.queries), passages: small(shortBatch.passages) };
      const batch: BatchArgs = { ...shortBatch, ...pairs, pooling: head.pooling, loss: sharp };
      expect(await checkGradients(spec, batch)).to.be.above(15);
    });
  }
});

describe('positions that start after the padding id', () => {
  it('do not count padding ids that stand in a text, and give these their own row', async () => {
    const spec = await specOf('roberta');
    const padding: number = JSON.parse(readFileSync(join(models, 'roberta', 'config.json'), 'utf8')).pad_token_id;
    const texts = { ids: Int32Array.of(40, padding, 50), offsets: Int32Array.of(0, 3) };
    const weights = readSafetensors(spec.files[0]!);
    const name = 'embeddings.position_embeddings.weight';
    const { hiddenSize, positionRows } = spec.architecture;
    const before = await encode(spec, texts);
    const rowsRead: number[] = [];
    for (let row = 0; row < 6; row++) {
      const file = join(temporaryDirectory(), 'moved.safetensors');
      const by = Float32Array.from({ length: positionRows * hiddenSize }, (_, i) =>
        Math.floor(i / hiddenSize) === row ? i % 3 : 0,
      );
      writeSafetensors(file, moved(weights, name, by));
      const after = await encode({ ...spec, files: [file] }, texts);
      if (norm(after.map((value, i) => value - before[i]!)) > 1e-3) rowsRead.push(row);
    }
    expect(padding).to.equal(1);
    expect(rowsRead).to.deep.equal([1, 2, 3]);
  });
});

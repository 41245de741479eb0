import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { readModelDirectory } from '../lib/models/directory.js';
import { gatherTexts } from '../lib/models/packed-texts.js';
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
      const spec = await specOf(name);
      const gradients = await gradientsOf(spec, shortBatch);
      const weights = readSafetensors(spec.files[0]!);
      const whole = lengthOf(gradients);
      const file = join(temporaryDirectory(), 'moved.safetensors');
      let reached = 0;
      for (const [tensor, gradient] of gradients) {
        const length = norm(gradient);
        if (tensor.endsWith('key.bias') || tensor.endsWith('k_lin.bias') || tensor.endsWith('attn.k.bias')) {
          expect(length / whole, tensor).to.be.below(1e-4);
          continue;
        }
        expect(length / whole, `share of ${tensor}`).to.be.above(3e-4);
        reached++;
        // So long a step along the gradient that the loss changes by about 0.004, well above its rounding errors.
        const step = Math.min(0.004 / length, 0.05);
        const losses: number[] = [];
        for (const sign of [1, -1]) {
          const by = gradient.map((value) => (sign * step * value) / length);
          writeSafetensors(file, moved(weights, tensor, by));
          losses.push(await lossOf({ ...spec, files: [file] }, shortBatch));
        }
        expect((losses[0]! - losses[1]!) / (2 * step * length), tensor).to.be.closeTo(1, 0.02);
      }
      expect(reached).to.be.above(15);
    });

    it('computes texts of several blocks of queries as plain library operations do, forward and backward', async () => {
      const base = await specOf(name);
      // Positions that are computed, and not looked up, have no end.
      const isLong = base.architecture.positionRows === 0;
      const spec = { ...base, architecture: { ...base.architecture, ...(isLong && { maxPositions: 400 }) } };
      const portable: EncoderSpec = { ...spec, kernels: 'portable' };
      const texts = isLong ? randomIds([300, 65, 64, 129, 3, 200], 4) : randomIds([38, 17, 16, 33, 3], 4);
      expectClose(await encode(spec, texts), await encode(portable, texts), { atol: 2e-6 }, 'embeddings');
      const batch = isLong
        ? batchOf({ queries: [3, 70, 12, 5, 31, 6], passages: [190, 65, 64, 129, 3, 200, 17, 48, 150] })
        : shortBatch;
      expectSame(await gradientsOf(spec, batch), await gradientsOf(portable, batch));
    });
  });
}

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

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { readModelDirectory } from '../lib/models/directory.js';
import { native, runJob } from '../lib/native.js';
import { expectClose, norm, realModel, tinyConfig, tinyWeights, writeTinyModel } from './helpers.js';
import { type Arithmetic, compute, embeddings, tinySpec } from './kernel-task.js';
import { rejection } from './rejection.js';

const REFERENCE: Arithmetic = { kernels: 'portable', precision: 'fp32' };

/** Relative to each tensor's length; a key's bias has no gradient but rounding, so nothing is asked of it. */
function expectSame(actual: Awaited<ReturnType<typeof compute>>, expected: typeof actual, tolerance: number) {
  expectClose(actual.embeddings, expected.embeddings, { atol: tolerance }, 'embeddings');
  for (const [i, { name, values }] of expected.gradients.entries()) {
    if (name.endsWith('key.bias')) continue;
    expect(norm(values), `length of the gradient of ${name}`).to.be.above(0);
    const difference = values.map((value, j) => value - actual.gradients[i]!.values[j]!);
    expect(norm(difference) / norm(values), `gradient of ${name}`).to.be.below(tolerance);
  }
}

describe('fused and portable kernels', () => {
  for (const activation of ['gelu', 'gelu-tanh', 'relu'] as const) {
    it(`give the same embeddings and gradients with ${activation}`, async () => {
      const expected = await compute(await tinySpec(activation, REFERENCE));
      const fused = await compute(await tinySpec(activation, { kernels: 'fused', precision: 'fp32' }));
      expectSame(fused, expected, 2e-5);
    });

    it(`give the same the way a GPU does it with ${activation}`, async () => {
      const expected = await compute(await tinySpec(activation, REFERENCE));
      const device = await compute(await tinySpec(activation, { kernels: 'device', precision: 'fp32' }));
      expectSame(device, expected, 2e-5);
    });

    it(`give nearly the same the way a GPU does it in bf16 with ${activation}`, async () => {
      const expected = await compute(await tinySpec(activation, REFERENCE));
      const device = await compute(await tinySpec(activation, { kernels: 'device', precision: 'bf16' }));
      expectClose(device.embeddings, expected.embeddings, { atol: 0.03 }, 'embeddings');
      if (activation !== 'relu') expectSame(device, expected, 0.1);
    });

    it(`give nearly the same in bf16 with ${activation}`, async () => {
      const expected = await compute(await tinySpec(activation, REFERENCE));
      const bf16 = await compute(await tinySpec(activation, { precision: 'bf16' }));
      expectClose(bf16.embeddings, expected.embeddings, { atol: 0.03 }, 'embeddings');
      expect(norm(bf16.embeddings.map((value, i) => value - expected.embeddings[i]!)), 'a difference').to.be.above(
        1e-4,
      );
      // One token that rounding moves over relu's kink changes the gradient of a short text by a lot.
      if (activation !== 'relu') expectSame(bf16, expected, 0.1);
    });
  }

  for (const activation of ['gelu', 'relu'] as const) {
    it(`give nearly the same embeddings in int8 with ${activation}`, async () => {
      const expected = await embeddings(await tinySpec(activation, REFERENCE));
      const int8 = await embeddings(await tinySpec(activation, { precision: 'int8' }));
      expectClose(int8, expected, { atol: 0.02 }, 'embeddings');
      const off = norm(int8.map((value, i) => value - expected[i]!)) / norm(expected);
      expect(off, 'relative difference').to.be.within(1e-4, 0.04);
    });
  }

  it('of every instruction set give the same embeddings and gradients', async function () {
    this.timeout(60_000);
    const program = fileURLToPath(new URL('programs/kernels.ts', import.meta.url));
    const digests = ['baseline', 'avx2', 'avx512', 'avx512vnni'].map((kernels) => {
      const child = spawnSync(process.execPath, ['--import=tsx', program], {
        env: { ...process.env, LISTWISE_KERNELS: kernels },
        encoding: 'utf8',
      });
      expect(child.status, child.stderr).to.equal(0);
      return JSON.parse(child.stdout) as Record<'embeddings' | 'gradient' | 'int8', number[]> & { kernels: string };
    });
    const [baseline, ...others] = digests;
    expect(baseline!.kernels).to.equal('baseline');
    for (const other of others) {
      expectClose(other.embeddings, baseline!.embeddings, { atol: 1e-5 }, `embeddings by ${other.kernels}`);
      // Sums of whole numbers are exact, but a number between two may be rounded either way.
      expectClose(other.int8, baseline!.int8, { atol: 2e-3 }, `embeddings in int8 by ${other.kernels}`);
      const difference = other.gradient.map((value, i) => value - baseline!.gradient[i]!);
      expect(norm(difference) / norm(baseline!.gradient), `gradient by ${other.kernels}`).to.be.below(2e-5);
    }
  });
});

describe('a model in int8', () => {
  it('cannot be trained, and says what to do', async () => {
    const spec = await tinySpec('gelu', { precision: 'int8' });
    const encoder = await runJob(() => native().loadEncoder(spec));
    const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };
    expect(() => native().createTrainer(encoder, optimizer)).to.throw(
      "Expected a model in fp32 or bf16 to train but this one was loaded with precision 'int8'",
    );
    encoder.dispose();
  });

  it('says that weights are not finite, which whole numbers would hide', async () => {
    const config = { ...tinyConfig, max_position_embeddings: 160 };
    const weights = tinyWeights(config);
    weights['encoder.layer.1.output.dense.weight']!.values[7] = Number.NaN;
    const {
      architecture,
      weightNames,
      weightFiles: files,
    } = await readModelDirectory(writeTinyModel(undefined, { config, weights }));
    const spec = { files, architecture, weightNames, device: 'cpu', precision: 'int8' } as const;
    const error = await rejection(embeddings(spec));
    expect(error).to.include({ code: 'NOT_FINITE' });
  });

  it('points where all-MiniLM-L6-v2 points', async function () {
    this.timeout(20_000);
    const texts = [
      'a lifting surface',
      'heat transfer in a laminar boundary layer',
      'sugar',
      'the cat sat on the mat. '.repeat(40),
    ];
    const encode = async (precision: 'fp32' | 'int8') => {
      await using embedder = await Embedder.load(realModel, { precision });
      return await embedder.encode(texts);
    };
    const [fp32, int8] = [await encode('fp32'), await encode('int8')];
    for (let i = 0; i < texts.length; i++) {
      let cosine = 0;
      for (let j = i * 384; j < (i + 1) * 384; j++) cosine += fp32[j]! * int8[j]!;
      expect(cosine, texts[i]).to.be.within(0.99, 0.99999);
    }
  });
});

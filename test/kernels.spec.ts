import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { expectClose, norm } from './helpers.js';
import { type Arithmetic, compute, tinySpec } from './kernel-task.js';

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

  it('of every instruction set give the same embeddings and gradients', async function () {
    this.timeout(60_000);
    const program = fileURLToPath(new URL('programs/kernels.ts', import.meta.url));
    const digests = ['baseline', 'avx2', 'avx512'].map((kernels) => {
      const child = spawnSync(process.execPath, ['--import=tsx', program], {
        env: { ...process.env, LISTWISE_KERNELS: kernels },
        encoding: 'utf8',
      });
      expect(child.status, child.stderr).to.equal(0);
      return JSON.parse(child.stdout) as { kernels: string; embeddings: number[]; gradient: number[] };
    });
    const [baseline, ...others] = digests;
    expect(baseline!.kernels).to.equal('baseline');
    for (const other of others) {
      expectClose(other.embeddings, baseline!.embeddings, { atol: 1e-5 }, `embeddings by ${other.kernels}`);
      const difference = other.gradient.map((value, i) => value - baseline!.gradient[i]!);
      expect(norm(difference) / norm(baseline!.gradient), `gradient by ${other.kernels}`).to.be.below(2e-5);
    }
  });
});

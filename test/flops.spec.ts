import { expect } from 'chai';
import { bf16Peak, forwardFlops } from '../bench/peers/flops.js';
import type { Architecture } from '../lib/native.js';

/** A BERT-base. */
const base: Architecture = {
  ...{ vocabularySize: 30_522, hiddenSize: 768, layers: 12, heads: 12, headSize: 64, intermediateSize: 3072 },
  ...{ maxPositions: 512, positionRows: 512, tokenTypes: 2, norm: 'layer', normPlace: 'after', normEps: 1e-12 },
  ...{ activation: 'gelu', feedForward: 'plain', scoreScale: 1 / 8 },
  attention: [{ window: 0, frequencies: [] }],
  attentionOfLayer: Array.from({ length: 12 }, () => 0),
};

describe('forwardFlops', () => {
  const formula = (n: number) => 12 * 24 * n * 768 ** 2 * (1 + n / (6 * 768));

  it('counts what the formula for BERT does, text by text', () => {
    expect(forwardFlops(base, [512])).to.be.closeTo(formula(512), 1);
    expect(forwardFlops(base, [512, 7, 100])).to.be.closeTo(formula(512) + formula(7) + formula(100), 1);
  });

  it('counts a third matrix where the inner layer is gated, and only keys within a window', () => {
    const gated = forwardFlops({ ...base, feedForward: 'gated-by-first' }, [100]);
    expect(gated - forwardFlops(base, [100])).to.equal(12 * 100 * 2 * 768 * 3072);
    const local: Architecture = { ...base, attention: [...base.attention, { window: 10, frequencies: [] }] };
    const half = { ...local, attentionOfLayer: base.attentionOfLayer.map((_, layer) => layer % 2) };
    expect(forwardFlops(base, [100]) - forwardFlops(half, [100])).to.equal(6 * 100 * 4 * (100 - 21) * 768);
    expect(forwardFlops(half, [5])).to.equal(forwardFlops(base, [5]));
  });
});

describe('bf16Peak', () => {
  it('tells devices apart whose names begin alike', () => {
    const names = [
      'NVIDIA H100 80GB HBM3',
      'NVIDIA H100 PCIe',
      'NVIDIA H100 NVL',
      'NVIDIA H200',
      'NVIDIA A100-SXM4-80GB',
    ];
    expect(names.map(bf16Peak)).to.deep.equal([989e12, 756e12, 835e12, 989e12, 312e12]);
    expect(['NVIDIA A10', 'NVIDIA A10G', 'NVIDIA L4', 'NVIDIA L40S', 'NVIDIA L40'].map(bf16Peak)).to.deep.equal([
      125e12,
      undefined,
      121e12,
      362e12,
      undefined,
    ]);
  });
});

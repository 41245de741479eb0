import type { Architecture } from '../../lib/native.js';

/**
 * Operations (a multiplication and an addition count as two) of the encoder's matrix products and of attention's, once
 * forward over texts of these lengths in tokens: 24 n h² (1 + n / 6h) a layer for a BERT whose inner layer has 4h
 * numbers (Narayanan et al., arXiv 2104.04473, section 5.1). What lies between the products is not counted.
 */
export function forwardFlops(architecture: Architecture, lengths: Iterable<number>): number {
  const { hiddenSize, heads, headSize, intermediateSize, feedForward } = architecture;
  const attentionSize = heads * headSize;
  const inner = (feedForward === 'plain' ? 2 : 3) * intermediateSize;
  const perToken = 2 * hiddenSize * (4 * attentionSize + inner);
  let total = 0;
  for (const length of lengths) {
    for (const kind of architecture.attentionOfLayer) {
      const { window } = architecture.attention[kind]!;
      const keys = window > 0 ? Math.min(length, 2 * window + 1) : length;
      total += length * (perToken + 4 * keys * attentionSize);
    }
  }
  return total;
}

/**
 * Dense bf16 products with sums in fp32, 10¹² operations a second, by what the driver calls the device: NVIDIA's data
 * sheets of these devices and, for the last one, of the Ada architecture. Where they give the figure with sparsity, half.
 */
const PEAKS: readonly (readonly [device: RegExp, teraflops: number])[] = [
  [/\bH100 PCIe/, 756],
  [/\bH[12]00 NVL/, 835],
  [/\b(H100|H200|GH200)\b/, 989],
  [/\bA100\b/, 312],
  [/\bA10\b/, 125],
  [/\bL40S\b/, 362],
  [/\bL4\b/, 121],
  [/\bRTX 4090$/, 165],
];

/** The dense bf16 peak of a device in operations a second, if it is one of the known. */
export function bf16Peak(device: string): number | undefined {
  const found = PEAKS.find(([name]) => name.test(device));
  return found && found[1] * 1e12;
}

import { ModelError } from '../../errors.js';
import type { Config } from './config.js';

export interface RotaryOptions {
  headSize: number;
  /** Base of the angles. */
  theta: number;
  /** config.json's rope_scaling, or the entry of rope_parameters. */
  scaling: Config | undefined;
}

/**
 * Radians per position for each pair of a head's numbers: theta^(-2i / headSize) (Su et al., RoFormer,
 * arXiv:2104.09864). `linear` scaling divides them by the factor. `ntk` multiplies theta by the factor and divides by
 * factor^(2 / headSize), so that the fastest pair turns slower by that and the slowest by the whole factor. Numbers are
 * rounded to single precision, in which models were trained.
 * @throws ListwiseError UNSUPPORTED for another scaling
 */
export function rotaryFrequencies({ headSize, theta, scaling }: RotaryOptions): number[] {
  const { base, divisor } = scaled(theta, headSize, scaling);
  return Array.from({ length: headSize / 2 }, (_, i) => {
    const power = Math.fround(base ** Math.fround((2 * i) / headSize));
    return Math.fround(Math.fround(1 / power) / divisor);
  });
}

function scaled(theta: number, headSize: number, scaling: Config | undefined): { base: number; divisor: number } {
  if (headSize % 2 !== 0) {
    throw new ModelError(`Expected heads of an even size for rotary positions but each has ${headSize} numbers.`);
  }
  const field = scaling?.get('rope_type') === undefined ? 'type' : 'rope_type';
  const type = scaling?.get(field) ?? 'default';
  if (!scaling || type === 'default') return { base: theta, divisor: 1 };
  const factor = scaling.positive('factor');
  if (type === 'linear') return { base: theta, divisor: factor };
  if (type !== 'ntk') throw scaling.unsupported(field, ['default', 'linear', 'ntk']);
  scaling.require({ mixed_b: [null] });
  // With a factor of 1 or less nothing is stretched.
  return factor > 1 ? { base: theta * factor, divisor: factor ** (2 / headSize) } : { base: theta, divisor: 1 };
}

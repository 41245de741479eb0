import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/**
 * A seeded source of randomness (xoroshiro128+, by the pure-rand package): the same seed gives the same numbers on
 * every machine. Everything random in listwise draws from one of these, never from Math.random.
 */
export class Random {
  readonly #generator;

  /** @param seed any 32-bit integer */
  constructor(seed: number) {
    this.#generator = xoroshiro128plus(seed | 0);
  }

  /** A generator for a named purpose: `Random.for(7, 'split')` and `Random.for(7, 'epoch', 3)` are independent. */
  static for(seed: number, ...purpose: (string | number)[]): Random {
    return new Random(hash32(`${seed}\u0000${purpose.join('\u0000')}`));
  }

  /** A whole number in [0, below). */
  integer(below: number): number {
    return uniformInt(this.#generator, 0, below - 1);
  }

  /** A number in [0, 1). */
  float(): number {
    return uniformFloat64(this.#generator);
  }

  /** A number from the standard normal distribution (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.float())) * Math.cos(2 * Math.PI * this.float());
  }

  /**
   * Shuffles in place (Fisher and Yates) and returns the same array.
   * @param last begin with this place, from the end; what lies behind it stays
   * @param first end before the places before this one, which a further call may go on with
   */
  shuffle<T extends { [index: number]: unknown; length: number }>(items: T, last = items.length - 1, first = 1): T {
    for (let i = last; i >= first; i--) {
      const j = this.integer(i + 1);
      const kept = items[i];
      items[i] = items[j];
      items[j] = kept;
    }
    return items;
  }

  /** `count` of the places [0, total), all if there are no more, in random order: by the first steps of a shuffle. */
  sample(total: number, count: number): Int32Array {
    const moved = new Map<number, number>();
    return Int32Array.from({ length: Math.min(total, count) }, (_, i) => {
      const j = i + this.integer(total - i);
      const place = moved.get(j) ?? j;
      moved.set(j, moved.get(i) ?? i);
      return place;
    });
  }
}

/** 32 bits of a text: FNV-1a with a final mix. @param start another start gives another, independent hash */
export function hash32(text: string, start = 0x811c9dc5): number {
  let h = start | 0;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

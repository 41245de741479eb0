import { breather } from '../event-loop.js';

const UNITS_FROM_SURROGATES = /[\ud800-\uffff]/;

/**
 * A key that JavaScript's `<` orders as `text` orders by Unicode code point (Python's order, and that of UTF-8 bytes).
 * `<` compares UTF-16 code units, where the surrogates of characters above U+FFFF come before U+E000 to U+FFFF. Moving
 * the surrogates behind that range, one to one, gives the order of code points.
 */
export function codePointKey(text: string): string {
  if (!UNITS_FROM_SURROGATES.test(text)) return text;
  return text.replace(/[\ud800-\uffff]/g, (unit) => {
    const code = unit.charCodeAt(0);
    return String.fromCharCode(code < 0xe000 ? code + 0x2000 : code - 0x800);
  });
}

/** Compares by Unicode code point, for `sort`; that is the order of UTF-8 bytes, and of C's strcmp. */
export function compareCodePoints(a: string, b: string): number {
  const x = codePointKey(a);
  const y = codePointKey(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

const RUN = 2048;

/**
 * The order of `keys` (from `codePointKey`) as indices: stable, and without holding up the event loop, by sorting short
 * runs and merging them.
 */
export async function stableOrder(keys: readonly string[], signal?: AbortSignal): Promise<Uint32Array> {
  const breathe = breather(signal);
  let order = Uint32Array.from(keys, (_, i) => i);
  for (let start = 0; start < order.length; start += RUN) {
    const run = order.subarray(start, start + RUN);
    run.sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : a - b));
    await breathe();
  }
  let merged = new Uint32Array(order.length);
  for (let width = RUN; width < order.length; width *= 2) {
    for (let start = 0; start < order.length; start += 2 * width) {
      await merge({ keys, from: order, to: merged, start, width, breathe });
    }
    [order, merged] = [merged, order];
  }
  return order;
}

interface Merge {
  keys: readonly string[];
  from: Uint32Array;
  to: Uint32Array;
  start: number;
  width: number;
  breathe: () => Promise<void> | undefined;
}

async function merge({ keys, from, to, start, width, breathe }: Merge): Promise<void> {
  const middle = Math.min(start + width, from.length);
  const end = Math.min(start + 2 * width, from.length);
  let left = start;
  let right = middle;
  for (let at = start; at < end; at++) {
    const takeRight = left === middle || (right < end && keys[from[right]!]! < keys[from[left]!]!);
    to[at] = from[takeRight ? right++ : left++]!;
    if ((at & 1023) === 0) await breathe();
  }
}

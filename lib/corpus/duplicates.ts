import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { LongWork, Passage } from '../types.js';
import { codePointKey, stableOrder } from './code-point-order.js';

/** A passage that is not used, and why. */
export interface DroppedPassage {
  id: string;
  reason: 'too short' | 'contained';
  /** The passage whose comparison text contains this one's; there when `reason` is 'contained'. */
  of?: string;
}

export interface DuplicateOptions extends LongWork {
  /** Passages whose comparison text has fewer characters (code points) are dropped. Default 10. */
  minCharacters?: number;
  /** How many of the next passages in sorted order may contain a passage. Default 9. */
  duplicateWindow?: number;
}

/**
 * What two passages are compared by: NFKC; NFD with combining marks (general category M) dropped; lower case; decimal
 * digits dropped; everything that is neither a word character (letters, marks, numbers, underscore) nor white space
 * dropped; runs of white space squeezed to one space.
 */
export function comparisonText(text: string): string {
  return text
    .normalize('NFKC')
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/\p{Nd}|[^\p{L}\p{M}\p{N}_\p{White_Space}]/gu, '')
    .replace(/\p{White_Space}+/gu, ' ');
}

/**
 * Finds passages that are too short, or whose comparison text (of the text without its title) is contained in that of
 * one of the next 9 passages, in the order of the comparison texts or in that of the reversed ones. Sorting is by
 * Unicode code point and stable, so of equal texts the last in the corpus stays. Both passes see the full list.
 * @returns the dropped passages in the corpus' order, each once; the first pass's find stands where both have one
 */
export async function findDuplicates(
  passages: Iterable<Passage> | AsyncIterable<Passage>,
  options: DuplicateOptions = {},
): Promise<DroppedPassage[]> {
  const { signal, onProgress } = options;
  const { minCharacters, duplicateWindow } = settleDuplicateOptions(options);
  signal?.throwIfAborted();
  const breathe = breather(signal);
  const ids: string[] = [];
  const texts: string[] = [];
  for await (const passage of passages) {
    ids.push(passage.id);
    texts.push(comparisonText(passage.text));
    await breathe();
  }
  const report = (done: number) => onProgress?.({ stage: 'duplicates', done, total: 2, unit: 'passes' });
  const containers = new Map<number, number>();
  report(0);
  await pass(texts, { keyOf: codePointKey, window: duplicateWindow, containers, signal });
  report(1);
  await pass(texts, { keyOf: (text) => codePointKey(reversed(text)), window: duplicateWindow, containers, signal });
  report(2);
  return ids.flatMap((id, row): DroppedPassage[] => {
    if (isShorter(texts[row]!, minCharacters)) return [{ id, reason: 'too short' }];
    const container = containers.get(row);
    return container === undefined ? [] : [{ id, reason: 'contained', of: ids[container]! }];
  });
}

/** Fills in defaults. @throws InvalidArgumentError for an option out of range */
export function settleDuplicateOptions({ minCharacters = 10, duplicateWindow = 9 }: DuplicateOptions) {
  for (const [name, value] of Object.entries({ minCharacters, duplicateWindow })) {
    if (!Number.isInteger(value) || value < 0)
      throw new InvalidArgumentError(name, 'a whole number of at least 0', value);
  }
  return { minCharacters, duplicateWindow };
}

interface Pass {
  keyOf: (text: string) => string;
  window: number;
  /** Row of a contained passage → row of the passage that contains it. */
  containers: Map<number, number>;
  signal?: AbortSignal;
}

async function pass(texts: readonly string[], { keyOf, window, containers, signal }: Pass): Promise<void> {
  const breathe = breather(signal);
  const keys: string[] = [];
  for (const text of texts) {
    keys.push(keyOf(text));
    await breathe();
  }
  const order = await stableOrder(keys, signal);
  for (let i = 0; i < order.length; i++) {
    await breathe();
    if (containers.has(order[i]!)) continue;
    for (let j = i + 1; j <= i + window && j < order.length; j++) {
      if (!texts[order[j]!]!.includes(texts[order[i]!]!)) continue;
      containers.set(order[i]!, order[j]!);
      break;
    }
  }
}

function reversed(text: string): string {
  return Array.from(text).reverse().join('');
}

function isShorter(text: string, characters: number): boolean {
  if (text.length < characters) return true;
  // A character takes at most two code units.
  return text.length < 2 * characters && Array.from(text).length < characters;
}

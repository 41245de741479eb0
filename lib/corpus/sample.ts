import { breather } from '../event-loop.js';
import { hash32 } from '../random.js';
import { compareCodePoints } from './code-point-order.js';

interface Candidate {
  id: string;
  priority: number;
}

/**
 * A seeded sample of at most `count` distinct ids, in the order of their code points: those with the lowest seeded hash
 * (a bottom-k sample), so the same ids give the same sample whatever order they come in and however often, and memory is
 * bounded by `count`.
 */
export async function sampleIds(
  ids: Iterable<string>,
  count: number,
  seed: number,
  signal?: AbortSignal,
): Promise<string[]> {
  const breathe = breather(signal);
  const sample = new IdSample(count, seed);
  for (const id of ids) {
    sample.add(id);
    await breathe();
  }
  return sample.ids();
}

/** The same for ids that come one by one. */
export class IdSample {
  readonly #count: number;
  readonly #starts: readonly [number, number];
  readonly #kept = new Set<string>();
  #chosen: Candidate[] = [];
  #bar = Infinity;

  constructor(count: number, seed: number) {
    this.#count = count;
    this.#starts = [hash32(`${seed}\u0000sample`), hash32(`${seed}\u0000sample again`)];
  }

  add(id: string): void {
    const priority = (hash32(id, this.#starts[0]) >>> 0) * 2 ** 21 + (hash32(id, this.#starts[1]) >>> 11);
    if (priority > this.#bar || this.#kept.has(id)) return;
    this.#kept.add(id);
    this.#chosen.push({ id, priority });
    if (this.#chosen.length < 2 * this.#count + 1024) return;
    this.#chosen = lowest(this.#chosen, this.#count);
    this.#bar = this.#chosen.at(-1)?.priority ?? -1;
    this.#kept.clear();
    for (const candidate of this.#chosen) this.#kept.add(candidate.id);
  }

  /** The sample of what was added so far. */
  ids(): string[] {
    return lowest(this.#chosen, this.#count)
      .map(({ id }) => id)
      .sort(compareCodePoints);
  }
}

function lowest(candidates: Candidate[], count: number): Candidate[] {
  return candidates.sort((a, b) => a.priority - b.priority || compareCodePoints(a.id, b.id)).slice(0, count);
}

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
  const starts = [hash32(`${seed}\u0000sample`), hash32(`${seed}\u0000sample again`)] as const;
  const kept = new Set<string>();
  let chosen: Candidate[] = [];
  let bar = Infinity;
  for (const id of ids) {
    const priority = (hash32(id, starts[0]) >>> 0) * 2 ** 21 + (hash32(id, starts[1]) >>> 11);
    if (priority <= bar && !kept.has(id)) {
      kept.add(id);
      chosen.push({ id, priority });
      if (chosen.length >= 2 * count + 1024) {
        chosen = lowest(chosen, count);
        bar = chosen.at(-1)?.priority ?? -1;
        kept.clear();
        for (const candidate of chosen) kept.add(candidate.id);
      }
    }
    await breathe();
  }
  return lowest(chosen, count)
    .map(({ id }) => id)
    .sort(compareCodePoints);
}

function lowest(candidates: Candidate[], count: number): Candidate[] {
  return candidates.sort((a, b) => a.priority - b.priority || compareCodePoints(a.id, b.id)).slice(0, count);
}

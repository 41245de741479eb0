import { breather } from '../event-loop.js';
import { readJsonl } from '../formats/jsonl.js';
import type { RunDirectory } from '../specialize/run-directory.js';
import { readTeacherScores } from '../teachers/scores.js';

/** How the teacher's scores are spread: of the passages that queries were written for, and of other candidates. */
export interface ScoreHistogram {
  /** Ends of the bins, one more than there are bins. */
  edges: number[];
  /** Shares of all scores of the kind, by bin. */
  sources: number[];
  others: number[];
  /** How many scores of each kind there are. */
  counts: { sources: number; others: number };
}

const BINS = 40;

/** Reads scores.jsonl twice: for its range, then for the counts; so that no score need be kept. */
export async function readScoreHistogram(
  directory: RunDirectory,
  signal?: AbortSignal,
): Promise<ScoreHistogram | undefined> {
  const work = signal ? { signal } : {};
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for await (const { passages } of readTeacherScores(directory.file('scores'), work)) {
    for (const { score } of passages) [low, high] = [Math.min(low, score), Math.max(high, score)];
  }
  if (!(high > low)) return undefined;
  const sourceOf = await readSources(directory, signal);
  const width = (high - low) / BINS;
  const counted = { sources: new Array<number>(BINS).fill(0), others: new Array<number>(BINS).fill(0) };
  for await (const { query, passages } of readTeacherScores(directory.file('scores'), work)) {
    const source = sourceOf.get(query);
    for (const { id, score } of passages) {
      const bin = Math.min(BINS - 1, Math.floor((score - low) / width));
      counted[id === source ? 'sources' : 'others'][bin]! += 1;
    }
  }
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const counts = { sources: sum(counted.sources), others: sum(counted.others) };
  return {
    edges: Array.from({ length: BINS + 1 }, (_, i) => low + i * width),
    sources: counted.sources.map((value) => value / Math.max(1, counts.sources)),
    others: counted.others.map((value) => value / Math.max(1, counts.others)),
    counts,
  };
}

async function readSources(directory: RunDirectory, signal?: AbortSignal): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  const breathe = breather(signal);
  for await (const { value } of readJsonl(directory.file('queries'), signal ? { signal } : {})) {
    sources.set(String(value['id']), String(value['passage']));
    await breathe();
  }
  return sources;
}

import type { DroppedQuery } from '../candidates/selection.js';
import { ListwiseError } from '../errors.js';
import { readJsonl } from '../formats/jsonl.js';

/** The dropped queries that a stage wrote. */
export async function readDropped(file: string): Promise<DroppedQuery[]> {
  const dropped: DroppedQuery[] = [];
  for await (const { value } of readJsonl(file)) dropped.push(value as unknown as DroppedQuery);
  return dropped;
}

/** What to say when every query was dropped, with where and an example. */
export function nothingToTrainOn(file: string, dropped: readonly DroppedQuery[]): ListwiseError {
  const counts = new Map<string, number>();
  for (const { stage } of dropped) counts.set(stage, (counts.get(stage) ?? 0) + 1);
  const stages = Array.from(counts, ([stage, count]) => `${count} by stage ${stage}`).join(', ');
  const example = dropped.at(-1);
  const shown = example ? ` For example ${example.query}: ${example.reason}.` : '';
  return new ListwiseError(
    'BAD_DATA',
    `No query is left to train on: ${dropped.length} were dropped (${stages}).${shown} ${file} has the reason of each; ` +
      'check that queries and teacher fit the corpus, or loosen maxSourceRank, minCandidates or listLength.',
  );
}

import { typeName } from '../candidates/selection.js';
import { readJsonl } from '../formats/jsonl.js';
import type { RunDirectory } from '../specialize/run-directory.js';
import type { StageFacts } from './facts.js';

/** How many queries of a type were left after each filter. */
export interface FunnelRow {
  type: string;
  steps: { label: string; queries: number }[];
}

type Counts = Record<string, Record<string, unknown>>;

/** The queries of each type through the filters, as far as the run came. */
export async function readFunnel(
  stages: readonly StageFacts[],
  directory: RunDirectory,
  signal?: AbortSignal,
): Promise<FunnelRow[]> {
  const candidates = byType(stages, 'candidates');
  if (!candidates) return [];
  const lists = byType(stages, 'lists');
  const unusable = await droppedByType(directory.file('queriesDropped'), signal);
  const types = [...new Set([...Object.keys(candidates), ...unusable.keys()])].sort();
  return types.map((type) => {
    const counts = ofType(candidates, type) ?? {};
    const queries = count(counts['queries']);
    const found = queries - count(counts['droppedByAll']);
    const steps = [
      { label: 'written', queries: queries + (unusable.get(type) ?? 0) },
      { label: 'source usable', queries },
      { label: 'source found', queries: found },
      { label: 'enough candidates', queries: count(counts['kept']) },
    ];
    const list = lists && ofType(lists, type);
    if (list) steps.push(...listSteps(list, count(counts['kept'])));
    return { type, steps };
  });
}

function listSteps(list: Record<string, unknown>, kept: number): { label: string; queries: number }[] {
  const first = kept - count(list['tooFewScores']) - count(list['sourceNotFirst']);
  return [
    { label: 'source scored first', queries: first },
    { label: 'score high enough', queries: count(list['kept']) },
  ];
}

/** Of a type by the user's word, which may be "constructor". */
function ofType(counts: Counts, type: string): Counts[string] | undefined {
  return Object.hasOwn(counts, type) ? counts[type] : undefined;
}

function count(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function byType(stages: readonly StageFacts[], name: string): Counts | undefined {
  const counts = stages.find((stage) => stage.name === name)?.counts as { byType?: Counts } | undefined;
  return counts?.byType;
}

async function droppedByType(file: string, signal?: AbortSignal): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for await (const { value } of readJsonl(file, signal ? { signal } : {})) {
    const type = typeName(typeof value['type'] === 'string' ? { type: value['type'] } : {});
    found.set(type, (found.get(type) ?? 0) + 1);
  }
  return found;
}

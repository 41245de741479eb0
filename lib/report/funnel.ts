import { join } from 'node:path';
import { type DropFilter, typeName } from '../candidates/selection.js';
import { readJsonl } from '../formats/jsonl.js';
import type { FailedRecord } from '../queries/outcome.js';
import { WRITING_FILES } from '../queries/writing.js';
import type { RunDirectory } from '../specialize/run-directory.js';
import type { StageFacts } from './facts.js';

/** Why a query is gone: a language model's failure to write it, or a filter of the pipeline. */
export type Loss = FailedRecord['reason'] | DropFilter;

export interface FunnelStep {
  /** What is said of the queries that are left. */
  label: string;
  queries: number;
  /** What took the others; absent of the first step. */
  loss?: Loss;
}

/** How many queries of a type were left after each filter. All types have the same steps. */
export interface FunnelRow {
  type: string;
  steps: FunnelStep[];
}

/** Every reason in the order of the pipeline, and what holds of the queries that are left after it. */
export const LABELS: Readonly<Record<Loss, string>> = {
  'no reply': 'answered',
  empty: 'reply not empty',
  refusal: 'not refused',
  'too long': 'short enough',
  copy: 'not copied',
  duplicate: 'not repeated',
  'empty query': 'not empty',
  'test query': 'no test query',
  'no relevant passage': 'judged relevant',
  'unusable source': 'source usable',
  'not sampled': 'sampled',
  'source rank': 'source found',
  'few candidates': 'enough candidates',
  'few scores': 'enough scores',
  'source not first': 'source scored first',
  'low top score': 'score high enough',
  'equal scores': 'scores differ',
};

type Losses = Map<string, Map<Loss, number>>;
type Counts = Record<string, Record<string, unknown>>;

/**
 * The queries of each type through the filters, as far as the run came: a step for each reason that took any. What
 * a language model was asked for and did not give counts as lost, too.
 */
export async function readFunnel(
  stages: readonly StageFacts[],
  directory: RunDirectory,
  signal?: AbortSignal,
): Promise<FunnelRow[]> {
  const has = (name: string) => stages.some((stage) => stage.name === name);
  const counts = stages.find(({ name }) => name === 'candidates')?.counts as { byType?: Counts } | undefined;
  if (!counts?.byType) return [];
  const losses: Losses = new Map();
  const isWritten = (stages.find(({ name }) => name === 'queries')?.counts as { written?: object })?.written;
  const dropped = has('lists')
    ? [directory.file('dropped')]
    : [directory.file('queriesDropped'), directory.file('candidatesDropped')];
  const places = isWritten ? [join(directory.file('writing'), WRITING_FILES.failed), ...dropped] : dropped;
  // Queries lost before the candidates stage are not among those that it counted.
  const missing = new Map<string, number>();
  for (const file of places) {
    for await (const { value } of readJsonl(file, signal ? { signal } : {})) {
      const type = typeName(typeof value['type'] === 'string' ? { type: value['type'] } : {});
      const loss = (value['filter'] ?? value['reason']) as Loss;
      const ofType = losses.get(type) ?? new Map<Loss, number>();
      losses.set(type, ofType.set(loss, (ofType.get(loss) ?? 0) + 1));
      const isEarly = value['filter'] === undefined || value['stage'] === 'queries';
      if (isEarly) missing.set(type, (missing.get(type) ?? 0) + 1);
    }
  }
  const first = isWritten ? 'asked for or given' : 'written';
  const taking = (Object.keys(LABELS) as Loss[]).filter((loss) => [...losses.values()].some((of) => of.has(loss)));
  const types = [...new Set([...Object.keys(counts.byType), ...losses.keys()])].sort();
  return types.map((type) => {
    const all = countOf(counts.byType!, type) + (missing.get(type) ?? 0);
    return { type, steps: stepsOf({ label: first, queries: all }, taking, losses.get(type)) };
  });
}

function stepsOf(first: FunnelStep, taking: readonly Loss[], losses?: ReadonlyMap<Loss, number>): FunnelStep[] {
  const steps = [first];
  for (const loss of taking) {
    const queries = steps.at(-1)!.queries - (losses?.get(loss) ?? 0);
    steps.push({ label: LABELS[loss], queries, loss });
  }
  return steps;
}

/** Queries of a type by the user's word, which may be "constructor". */
function countOf(counts: Counts, type: string): number {
  const queries = Object.hasOwn(counts, type) ? counts[type]!['queries'] : undefined;
  return typeof queries === 'number' ? queries : 0;
}

/** How many queries of all types came to a filter, and how many of these it took. */
export function lostTo(funnel: readonly FunnelRow[], loss: Loss): { before: number; lost: number } {
  const sum = (pick: (steps: FunnelStep[], at: number) => number) =>
    funnel.reduce((total, { steps }) => {
      const at = steps.findIndex((step) => step.loss === loss);
      return at < 1 ? total : total + pick(steps, at);
    }, 0);
  const before = sum((steps, at) => steps[at - 1]!.queries);
  return { before, lost: before - sum((steps, at) => steps[at]!.queries) };
}

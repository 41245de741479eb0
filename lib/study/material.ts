import { typeName } from '../candidates/selection.js';
import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import { readQrels } from '../formats/beir.js';
import { readJsonl } from '../formats/jsonl.js';
import { typesOf } from '../specialize/llm-queries.js';
import type { Workbench } from '../specialize/workbench.js';
import type { SettledStudy } from './options.js';
import type { Sides } from './pools.js';
import type { Material, TablePlan, Variant } from './variants.js';

/** What there is to train on before any stage was done: at most so many queries. */
export interface CountedMaterial extends Material {
  /** Written queries by type. */
  counts: ReadonlyMap<string, number>;
  humanCount: number;
}

/** Counts written queries by type, of the file and of the language model if there is one, and people's. */
export async function countMaterial(bench: Workbench): Promise<CountedMaterial> {
  const { queries, writing, humanQueries, humanSplit, maxPassages, signal } = bench.options;
  const counts = new Map<string, number>();
  const breathe = breather(signal);
  if (queries !== undefined) {
    for await (const { value } of readJsonl(queries, { signal, expected: 'a JSON Lines file of written queries' })) {
      const type = typeName({ type: typeof value.type === 'string' ? value.type : undefined });
      counts.set(type, (counts.get(type) ?? 0) + 1);
      await breathe();
    }
  }
  if (writing) {
    const each = writing.queriesPerPassage * Math.min(maxPassages, bench.corpus.size);
    for (const { name } of await typesOf(bench, writing)) counts.set(name, (counts.get(name) ?? 0) + each);
  }
  const judged = humanQueries === undefined ? undefined : await readQrels(humanQueries, humanSplit, { signal });
  return { types: [...counts.keys()], human: judged !== undefined, counts, humanCount: judged?.size ?? 0 };
}

/**
 * Queries become at most as many lists, so that some numbers of lists cannot be is known before the first stage.
 * @throws InvalidArgumentError if types alone are to be compared and none has listsPerType queries
 */
export function checkListsPerType(
  tables: readonly TablePlan[],
  { counts }: CountedMaterial,
  { listsPerType }: Pick<SettledStudy, 'listsPerType'>,
): void {
  const most = Math.max(0, ...counts.values());
  if (listsPerType === undefined || listsPerType <= most || tables.some(({ id }) => id !== 'types')) return;
  throw new InvalidArgumentError('listsPerType', `at most ${most}, the queries of the largest type,`, listsPerType);
}

/** How many lists a variant would be trained on and stopped by if every query became one. */
export function expectedSizes(
  { pool: { from, equal } }: Variant,
  { counts, humanCount }: CountedMaterial,
  { listsPerType, devLists = Number.POSITIVE_INFINITY, run }: SettledStudy,
): Sides<number> {
  const written = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const all =
    typeof from === 'object'
      ? (counts.get(from.type) ?? 0)
      : { all: written + humanCount, written, human: humanCount }[from];
  const most = { types: listsPerType ?? Math.min(...counts.values()), sources: Math.min(written, humanCount) };
  const count = Math.min(all, equal === undefined ? all : most[equal]);
  const { devShare = 0.1 } = run;
  const dev = Math.round(count * devShare);
  return { train: count - dev, dev: Math.min(dev, devLists) };
}

import { stat } from 'node:fs/promises';
import { typeName } from '../candidates/selection.js';
import { sampleIds } from '../corpus/sample.js';
import { breather } from '../event-loop.js';
import { readLists } from '../lists/file.js';
import { HUMAN } from '../queries/human.js';
import type { Workbench } from '../specialize/workbench.js';
import type { LongWork, TrainingList } from '../types.js';
import type { SettledStudy } from './options.js';
import type { Pool, Variant } from './variants.js';

/** The two sides of the split by source passage, which is made once for all lists of a study. */
export interface Sides<T> {
  train: T;
  dev: T;
}

/** Fewer lists than this are nothing to train on. */
const FEWEST = 2;

export interface PoolOptions extends Pick<SettledStudy, 'listsPerType' | 'devLists'>, Pick<LongWork, 'signal'> {}

/** Ids of lists by type of query. */
type ByType = ReadonlyMap<string, readonly string[]>;

/**
 * The lists that the shared stages made, and which of them each variant gets. All lists were split by source passage
 * together, so no passage that a variant's dev lists were written for is a source of any variant's training lists.
 */
export class StudyLists {
  readonly #lists: Sides<readonly TrainingList[]>;
  readonly #ids: Sides<ByType>;
  readonly #options: PoolOptions;
  /** Written types that have enough lists to stand in a comparison of types. */
  readonly types: readonly string[];

  private constructor(lists: Sides<readonly TrainingList[]>, ids: Sides<ByType>, options: PoolOptions) {
    this.#lists = lists;
    this.#ids = ids;
    this.#options = options;
    const fewest = options.listsPerType ?? FEWEST;
    this.types = [...ids.train]
      .filter(([type, { length }]) => type !== HUMAN && length >= fewest)
      .map(([type]) => type);
  }

  static async of(lists: Sides<readonly TrainingList[]>, options: PoolOptions): Promise<StudyLists> {
    const { signal } = options;
    const ids = { train: await groupByType(lists.train, signal), dev: await groupByType(lists.dev, signal) };
    return new StudyLists(lists, ids, options);
  }

  /** Reads what the lists stage wrote. */
  static async read({ corpus, directory, options }: Workbench, pools: PoolOptions): Promise<StudyLists> {
    const reading = { corpus, signal: options.signal };
    const train = await readLists(directory.file('train'), reading);
    const hasDev = (await stat(directory.file('dev'))).size > 0;
    const dev = hasDev ? await readLists(directory.file('dev'), reading) : [];
    return StudyLists.of({ train, dev }, pools);
  }

  /** Why a variant cannot be trained on these lists; undefined if it can. */
  lacks({ pool }: Variant): string | undefined {
    const { from } = pool;
    const count = this.#count('train', pool);
    if (typeof from === 'object' && !this.types.includes(from.type)) {
      return `it has ${count} training lists, fewer than ${this.#options.listsPerType ?? FEWEST}`;
    }
    return count < FEWEST ? `it has ${count} training lists` : undefined;
  }

  /** How many lists a variant is trained on and stopped by. */
  sizes({ pool }: Variant): Sides<number> {
    const size = (side: keyof Sides<unknown>) => Math.min(this.#count(side, pool), this.#equal(side, pool.equal));
    const { devLists = Number.POSITIVE_INFINITY } = this.#options;
    return { train: size('train'), dev: Math.min(size('dev'), devLists) };
  }

  /**
   * A variant's lists, in their order. Where not all are taken they are drawn by the seed, of each type as many as of
   * any other as far as there are, so that a mixture is one.
   */
  async select(variant: Variant, seed: number): Promise<Sides<TrainingList[]>> {
    const sizes = this.sizes(variant);
    const draw = async (side: keyof Sides<unknown>) => {
      const groups = this.#typesOf(variant.pool).map((type) => this.#ids[side].get(type) ?? []);
      const ids = await drawEvenly(groups, sizes[side], { seed, signal: this.#options.signal });
      return this.#lists[side].filter(({ id }) => ids.has(id));
    };
    return { train: await draw('train'), dev: await draw('dev') };
  }

  /** In the comparison of types, written queries are those of the types that are compared. */
  #typesOf({ from, equal }: Pool): readonly string[] {
    if (typeof from === 'object') return [from.type];
    if (from === 'human') return [HUMAN];
    if (equal === 'types') return this.types;
    const all = [...new Set([...this.#ids.train.keys(), ...this.#ids.dev.keys()])];
    return from === 'all' ? all : all.filter((type) => type !== HUMAN);
  }

  #count(side: keyof Sides<unknown>, pool: Pool): number {
    return this.#typesOf(pool).reduce((sum, type) => sum + (this.#ids[side].get(type)?.length ?? 0), 0);
  }

  /** The number of lists that all variants of a table get. */
  #equal(side: keyof Sides<unknown>, table: Pool['equal']): number {
    if (table === undefined) return Number.POSITIVE_INFINITY;
    if (table === 'types' && side === 'train' && this.#options.listsPerType) return this.#options.listsPerType;
    const pools: Pool[] =
      table === 'sources' ? [{ from: 'human' }, { from: 'written' }] : this.types.map((type) => ({ from: { type } }));
    return Math.min(...pools.map((pool) => this.#count(side, pool)));
  }
}

async function groupByType(lists: readonly TrainingList[], signal?: AbortSignal): Promise<ByType> {
  const groups = new Map<string, string[]>();
  const breathe = breather(signal);
  for (const list of lists) {
    const ids = groups.get(typeName(list)) ?? [];
    ids.push(list.id);
    groups.set(typeName(list), ids);
    await breathe();
  }
  return groups;
}

/** `count` ids: equal numbers of each group, and where one has too few, more of the others. */
async function drawEvenly(
  groups: readonly (readonly string[])[],
  count: number,
  { seed, signal }: { seed: number } & Pick<LongWork, 'signal'>,
): Promise<Set<string>> {
  const drawn = new Set<string>();
  const smallestFirst = [...groups].sort((a, b) => a.length - b.length);
  for (const [i, ids] of smallestFirst.entries()) {
    const share = Math.min(ids.length, Math.floor((count - drawn.size) / (groups.length - i)));
    for (const id of share === ids.length ? ids : await sampleIds(ids, share, seed, signal)) drawn.add(id);
  }
  return drawn;
}

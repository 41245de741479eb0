import { InvalidArgumentError } from '../errors.js';
import type { SettledOptions } from '../specialize/options.js';

/** The comparisons that a study makes, each a table. */
export const TABLES = ['losses', 'types', 'sources'] as const;
export type TableId = (typeof TABLES)[number];

/** Which of the lists a variant is trained on. */
export interface Pool {
  /** All, those of written queries, those of people's, or those of one type of written ones. */
  from: 'all' | 'written' | 'human' | { type: string };
  /** Where the variants of a table get equal numbers of lists: that table. Absent: every list there is. */
  equal?: 'types' | 'sources';
}

/** One way to train. */
export interface Variant {
  /** In file names, options and results: letters, digits and "-". */
  name: string;
  /** For people. */
  label: string;
  losses: 'infonce' | 'listwise' | 'both';
  pool: Pool;
}

/** One comparison: its rows are variants, beside the base. */
export interface TablePlan {
  id: TableId;
  title: string;
  variants: readonly Variant[];
}

/** What there is to train on. */
export interface Material {
  /** Types of the written queries, in their order; empty where there are none. */
  types: readonly string[];
  /** Whether there are people's queries to train on. */
  human: boolean;
}

/** The comparisons that can be made of the queries that there are. */
export function tablesOf({ types, human }: Material): TablePlan[] {
  const isWritten = types.length > 0;
  const pool: Pool = { from: isWritten ? 'written' : 'human' };
  const both: Variant = { name: 'both', label: 'listwise and InfoNCE', losses: 'both', pool };
  const losses: TablePlan = {
    id: 'losses',
    title: 'Losses',
    variants: [
      { name: 'infonce', label: 'InfoNCE only', losses: 'infonce', pool },
      { name: 'listwise', label: 'listwise only', losses: 'listwise', pool },
      both,
    ],
  };
  const tables = [losses];
  if (types.length > 1) {
    tables.push({ id: 'types', title: 'Types of queries, equal numbers', variants: typeVariants(types) });
  }
  if (isWritten && human) {
    const allWritten = { ...both, label: 'all written' };
    tables.push({ id: 'sources', title: 'Who wrote the queries', variants: [...sourceVariants(), allWritten] });
  }
  return tables;
}

function typeVariants(types: readonly string[]): Variant[] {
  const names = new Set<string>();
  const alone = types.map((type): Variant => {
    const base = `only-${type.replace(/[^\p{L}\p{N}]+/gu, '-')}`;
    let name = base;
    for (let place = 2; names.has(name); place++) name = `${base}-${place}`;
    names.add(name);
    return { name, label: `${type} only`, losses: 'both', pool: { from: { type }, equal: 'types' } };
  });
  return [...alone, { name: 'mixed', label: 'all types', losses: 'both', pool: { from: 'written', equal: 'types' } }];
}

function sourceVariants(): Variant[] {
  return [
    { name: 'human', label: 'human', losses: 'both', pool: { from: 'human', equal: 'sources' } },
    { name: 'written', label: 'written, as many', losses: 'both', pool: { from: 'written', equal: 'sources' } },
    { name: 'human-and-written', label: 'human and written', losses: 'both', pool: { from: 'all' } },
  ];
}

/**
 * The tables with the variants that were asked for, by their own names or the tables'.
 * @throws InvalidArgumentError for a name that none has, naming those there are
 */
export function chooseVariants(tables: readonly TablePlan[], wanted: readonly string[] | undefined): TablePlan[] {
  if (wanted === undefined) return [...tables];
  const known = variantsOf(tables).map(({ name }) => name);
  for (const name of wanted) {
    if (known.includes(name) || tables.some(({ id }) => id === name)) continue;
    const ids = tables.map(({ id }) => id);
    const expected = `variants (${known.join(', ')}) or tables (${ids.join(', ')})`;
    throw new InvalidArgumentError('variants', expected, name, MISSING[name]);
  }
  const asked = new Set(
    wanted.flatMap((name) => tables.find(({ id }) => id === name)?.variants.map((one) => one.name) ?? name),
  );
  const kept: TablePlan[] = [];
  for (const table of tables) {
    // A variant that stands in several tables brings the first of them, unless others are asked for.
    const shown = variantsOf(kept).map(({ name }) => name);
    const isMeant = table.variants.some(({ name }) => wanted.includes(name) && !shown.includes(name));
    if (!isMeant && !wanted.includes(table.id)) continue;
    kept.push({ ...table, variants: table.variants.filter(({ name }) => asked.has(name)) });
  }
  return kept;
}

const NO_HUMANS = "people's queries to train on (humanQueries) are needed beside written ones";
const ONE_TYPE = 'written queries of two types or more are needed';
/** Why a name may be missing. */
const MISSING: Readonly<Record<string, string>> = {
  ...{ types: ONE_TYPE, mixed: ONE_TYPE },
  ...{ sources: NO_HUMANS, human: NO_HUMANS, written: NO_HUMANS, 'human-and-written': NO_HUMANS },
};

/** The variants of all tables, each once, in their order. */
export function variantsOf(tables: readonly TablePlan[]): Variant[] {
  const byName = new Map<string, Variant>();
  for (const { variants } of tables)
    for (const variant of variants) if (!byName.has(variant.name)) byName.set(variant.name, variant);
  return [...byName.values()];
}

/** A variant's weights of the losses. InfoNCE alone has weight 1: the length of a loss alone means little to AdamW. */
export function weightsOf(
  { losses }: Variant,
  { listwiseWeight = 1, contrastiveWeight = 0.1 }: SettledOptions,
): { listwiseWeight: number; contrastiveWeight: number } {
  if (losses === 'infonce') return { listwiseWeight: 0, contrastiveWeight: 1 };
  if (losses === 'listwise') return { listwiseWeight, contrastiveWeight: 0 };
  return { listwiseWeight, contrastiveWeight };
}

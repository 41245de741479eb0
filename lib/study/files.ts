import { join } from 'node:path';

/** What a study writes into its run directory beside the shared stages, relative to it. */
export const STUDY_FILES = {
  /** All facts. */
  facts: 'study.json',
  /** The tables in Markdown. */
  tables: 'study.md',
  /** The page for people. */
  page: 'study.html',
  /** What base and teacher find on the test set. */
  reference: 'study',
  variants: 'variants',
} as const;

/** Files of one training, relative to `variantFolder`. */
export const VARIANT_FILES = {
  train: 'lists.train.jsonl',
  dev: 'lists.dev.jsonl',
  summary: 'training.json',
  log: 'log.jsonl',
  model: 'model',
  run: 'test.trec',
  measures: 'test.json',
} as const;

/** Where a variant is trained with a seed, relative to the run directory. */
export function variantFolder(variant: string, seed: number): string {
  return `${STUDY_FILES.variants}/${variant}/seed-${seed}`;
}

/** A file of a training, relative to the run directory. */
export function variantFile(variant: string, seed: number, file: keyof typeof VARIANT_FILES): string {
  return `${variantFolder(variant, seed)}/${VARIANT_FILES[file]}`;
}

/** What a system that is not trained found on the test set, and its measures, relative to the run directory. */
export function referenceFiles(system: 'base' | 'teacher'): { run: string; measures: string } {
  const place = join(STUDY_FILES.reference, system);
  return { run: `${place}.trec`, measures: `${place}.json` };
}

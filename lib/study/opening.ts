import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidArgumentError } from '../errors.js';
import { JudgedCollection } from '../evaluation/collection.js';
import type { Place } from '../specialize/opening.js';
import type { Stage } from '../specialize/stage-runner.js';
import type { Workbench } from '../specialize/workbench.js';
import { STUDY_FILES } from './files.js';
import type { SettledStudy } from './options.js';
import type { StudyLists } from './pools.js';
import type { StudyFacts } from './results.js';
import { teacherTest } from './teacher-reference.js';
import { baseTest, type TestParts, type TestSet, trialTest } from './test-stages.js';
import { type Trial, trialTraining } from './training-stage.js';
import { type TablePlan, variantsOf } from './variants.js';

/**
 * A directory that no run has begun holds nothing of the names that a study writes.
 * @throws InvalidArgumentError naming the file that would be lost
 */
export async function checkStudyOutput({ options, directory }: Place): Promise<void> {
  const isThere = (path: string) =>
    lstat(path).then(
      () => true,
      () => false,
    );
  if (await isThere(directory.file('manifest'))) return;
  for (const name of Object.values(STUDY_FILES)) {
    if (!(await isThere(join(directory.path, name)))) continue;
    const expected = 'a new or empty directory, or that of an earlier run with its manifest.json,';
    const remedy = `it holds ${name}, which would be overwritten; give another directory`;
    throw new InvalidArgumentError('output', expected, options.output, remedy);
  }
}

/** Reads the test set, so that a broken one does not show after hours of training. */
export async function readTestSet(bench: Workbench): Promise<TestSet> {
  const { data, split, signal } = bench.options;
  const source = bench.collectionSource(data!, split);
  const hash = await source.hash();
  return { collection: await JudgedCollection.open(data!, { split, signal }), source, hash };
}

/** The variants that there are enough lists for, and why others are left out. */
export function withEnoughLists(
  tables: readonly TablePlan[],
  lists: StudyLists,
): { tables: TablePlan[]; leftOut: StudyFacts['leftOut'] } {
  const leftOut = variantsOf(tables).flatMap((variant) => {
    const reason = lists.lacks(variant);
    return reason === undefined ? [] : [{ variant: variant.name, reason }];
  });
  const isLeft = (name: string) => leftOut.some(({ variant }) => variant === name);
  const left = tables.map((table) => ({ ...table, variants: table.variants.filter(({ name }) => !isLeft(name)) }));
  return { tables: left.filter(({ variants }) => variants.length > 0), leftOut };
}

/** Every variant with every seed, one seed after the other. */
export function trialsOf(tables: readonly TablePlan[], { seeds }: SettledStudy): Trial[] {
  return seeds.flatMap((seed) => variantsOf(tables).map((variant) => ({ variant, seed })));
}

/** What base and teacher find on the test set. */
export async function referenceStages(parts: TestParts): Promise<Stage<string>[]> {
  const teacher = await teacherTest(parts);
  return [baseTest(parts), ...(teacher ? [teacher] : [])];
}

/** Training and test of a variant with a seed. @param lists absent in a plan that is made before there are any */
export async function trialStages(
  parts: TestParts,
  trial: Trial,
  lists?: StudyLists,
): Promise<[training: Stage<string>, test: Stage<string>]> {
  return [await trialTraining(parts, trial, lists), trialTest(parts, trial)];
}

import type { Comparison } from '../evaluation/compare.js';
import type { ChangeOptions } from '../evaluation/differences.js';
import type { Interval } from '../evaluation/statistics.js';
import type { Json } from '../hashes.js';
import type { Manifest, StageRecord } from '../specialize/manifest.js';
import { upTo } from '../specialize/stages.js';
import { trainingOptions } from '../specialize/training-stages.js';
import { undecisiveOptions } from '../training/options.js';
import { compareMeasured, differenceOf, type Measured, meanEvaluation } from './comparison.js';
import { referenceFiles, variantFile } from './files.js';
import { findingsOf, type StudyFinding } from './findings.js';
import type { Sides } from './pools.js';
import { readMeasures, type TestParts, testName } from './test-stages.js';
import { type Trial, trainingName } from './training-stage.js';
import { type Pool, type TableId, type TablePlan, type Variant, variantsOf, weightsOf } from './variants.js';

/** Losses on dev when the weights were those of a step. */
export interface DevLosses {
  step: number;
  listwise: number;
  contrastive: number;
  loss: number;
}

/** One training, of a variant with a seed. */
export interface TrialFacts {
  seed: number;
  /** Its model, relative to the run directory. */
  model: string;
  steps: number;
  stopped: string;
  /** Of training, and of the test. */
  seconds: number;
  testSeconds: number;
  teacherTemperature: number;
  /** Lists that it was trained on and stopped by. */
  lists: Sides<number>;
  /** Before training, and of the weights that were kept; null without dev lists. */
  devBase: DevLosses | null;
  devBest: DevLosses | null;
  /** Means over the test queries. */
  measures: Record<string, number>;
}

export interface VariantFacts {
  name: string;
  label: string;
  pool: Pool;
  listwiseWeight: number;
  contrastiveWeight: number;
  trials: TrialFacts[];
  /** Means over queries and seeds; deviation is the standard deviation over seeds, of two or more. */
  measures: Record<string, { mean: number; deviation?: number }>;
}

/** A comparison of variants with the base. */
export interface StudyTable {
  id: TableId;
  title: string;
  /** Variants in the order of the rows, with what the table calls them. */
  rows: { variant: string; label: string }[];
  /** In the shape of `compare`, systems by the variants' names. */
  comparison: Comparison;
}

/** One system of a study against another, by the first measure. */
export interface Contrast {
  base: string;
  baseLabel: string;
  other: string;
  otherLabel: string;
  measure: string;
  before: number;
  after: number;
  difference: number;
  interval: Interval;
  /** Of the paired randomisation test, not corrected. */
  p: number;
  confidence: number;
}

/** What study.json holds. */
export interface StudyFacts {
  /** The base model as the user named it. */
  model: string;
  versions: Record<string, string>;
  test: { name: string; queries: number; passages: number };
  measures: string[];
  seeds: number[];
  /** The shared stages: options, counts and seconds. */
  stages: Record<string, Pick<StageRecord, 'options' | 'counts' | 'seconds'>>;
  /** Options of training that hold for all variants. */
  options: Record<string, Json | undefined>;
  confidence: number;
  resamples: number;
  seed: number;
  /** Most that written queries may lose to count as about as good. */
  equalWithin: number;
  /** What the base measures on the test set, and the teacher itself where that is at hand. */
  base: Record<string, number>;
  teacher?: Record<string, number>;
  variants: VariantFacts[];
  /** Variants that there were too few lists for. */
  leftOut: { variant: string; reason: string }[];
  tables: StudyTable[];
  contrasts: Contrast[];
  findings: StudyFinding[];
}

export interface StudyWork extends TestParts {
  manifest: Manifest;
  /** What was done, without variants that were left out. */
  tables: readonly TablePlan[];
  leftOut: StudyFacts['leftOut'];
  /** Whether the teacher's own ranking is part of it. */
  hasTeacher: boolean;
}

/** Reads what the stages of a study wrote, and compares. */
export async function gatherFacts(work: StudyWork): Promise<StudyFacts> {
  const { bench, study, test, manifest, tables } = work;
  const { options } = bench;
  const { significance, resamples, seed, signal } = options;
  const resampling = { confidence: 1 - significance, resamples, seed };
  const { variants, measured } = await gatherVariants(work);
  const measure = study.measures[0]!;
  const contrasts = await contrastsOf(measured, tables, { ...resampling, signal, measure });
  return {
    model: options.model,
    versions: manifest.get('test.base')!.versions,
    test: { name: options.data!, queries: test.collection.qrels.size, passages: test.collection.size },
    measures: [...study.measures],
    seeds: [...study.seeds],
    stages: stagesOf(manifest),
    options: sharedOptions(work),
    ...resampling,
    equalWithin: study.equalWithin,
    base: measured.get('base')!.evaluation.mean,
    ...(work.hasTeacher && { teacher: manifest.get('test.teacher')!.counts as Record<string, number> }),
    variants,
    leftOut: work.leftOut,
    tables: await compareTables(measured, work, { ...resampling, signal }),
    contrasts,
    findings: findingsOf(contrasts, {
      ...{ measure, significance, equalWithin: study.equalWithin },
      untrained: variants.filter(({ trials }) => trials.some(keptBase)).map(({ name }) => name),
    }),
  };
}

async function gatherVariants(work: StudyWork): Promise<{ variants: VariantFacts[]; measured: Map<string, Measured> }> {
  const { bench, test, tables } = work;
  const base = await readMeasures(bench.directory.path, referenceFiles('base').measures, test);
  const measured = new Map([['base', { name: 'base', evaluation: base }]]);
  const variants: VariantFacts[] = [];
  for (const variant of variantsOf(tables)) {
    const { facts, evaluation } = await gatherVariant(variant, work);
    variants.push(facts);
    measured.set(variant.name, { name: variant.name, evaluation });
  }
  return { variants, measured };
}

async function compareTables(
  measured: ReadonlyMap<string, Measured>,
  { tables, study, bench }: StudyWork,
  resampling: ChangeOptions,
): Promise<StudyTable[]> {
  const settings = { ...resampling, set: bench.options.data!, measures: study.measures };
  const compared: StudyTable[] = [];
  for (const { id, title, variants } of tables) {
    const others = variants.map(({ name }) => measured.get(name)!);
    const rows = variants.map(({ name, label }) => ({ variant: name, label }));
    compared.push({ id, title, rows, comparison: await compareMeasured(measured.get('base')!, others, settings) });
  }
  return compared;
}

function stagesOf(manifest: Manifest): StudyFacts['stages'] {
  const facts = upTo('lists').map((name) => {
    const { options, counts, seconds } = manifest.get(name)!;
    return [name, { options, counts, seconds }];
  });
  return Object.fromEntries(facts);
}

function sharedOptions({ bench }: StudyWork): StudyFacts['options'] {
  const own = ['seed', 'listwiseWeight', 'contrastiveWeight'];
  const shared = Object.entries(trainingOptions(bench.options)).filter(
    ([name]) => !own.includes(name) && !undecisiveOptions.includes(name),
  );
  return Object.fromEntries(shared) as StudyFacts['options'];
}

async function gatherVariant(variant: Variant, work: StudyWork) {
  const { bench, study, test } = work;
  const evaluations = [];
  const trials: TrialFacts[] = [];
  for (const seed of study.seeds) {
    const file = variantFile(variant.name, seed, 'measures');
    const evaluation = await readMeasures(bench.directory.path, file, test);
    evaluations.push(evaluation);
    trials.push(trialFacts({ variant, seed }, evaluation.mean, work));
  }
  const evaluation = meanEvaluation(evaluations);
  const measures: VariantFacts['measures'] = {};
  for (const measure of study.measures) {
    const values = trials.map((trial) => trial.measures[measure]!);
    measures[measure] = { mean: evaluation.mean[measure]!, ...deviationOf(values) };
  }
  const { name, label, pool } = variant;
  const facts: VariantFacts = { name, label, pool, ...weightsOf(variant, bench.options), trials, measures };
  return { facts, evaluation };
}

/** Whether the weights are the base's, which had the lowest loss on dev. */
export function keptBase({ devBest }: TrialFacts): boolean {
  return devBest?.step === 0;
}

function trialFacts(trial: Trial, measures: Record<string, number>, { manifest }: StudyWork): TrialFacts {
  const { counts } = manifest.get(trainingName(trial))!;
  const { steps, stopped, seconds, teacherTemperature, lists, devBase, devBest } = counts as unknown as TrialFacts;
  return {
    ...{ seed: trial.seed, model: variantFile(trial.variant.name, trial.seed, 'model') },
    ...{ steps, stopped, seconds, testSeconds: manifest.get(testName(trial))!.seconds ?? 0, teacherTemperature },
    ...{ lists: { train: lists.train, dev: lists.dev }, devBase, devBest, measures },
  };
}

/** With n - 1 below, as for a sample. */
function deviationOf(values: readonly number[]): { deviation?: number } {
  if (values.length < 2) return {};
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { deviation: Math.sqrt(squares / (values.length - 1)) };
}

type Settings = Parameters<typeof differenceOf>[2];

/** The pairs that the findings are decided by, of what was studied. */
async function contrastsOf(
  measured: ReadonlyMap<string, Measured>,
  tables: readonly TablePlan[],
  settings: Settings,
): Promise<Contrast[]> {
  const variants = variantsOf(tables);
  const labels = new Map<string, string>([
    ['base', 'the base'],
    ...variants.map(({ name, label }) => [name, label] as const),
  ]);
  const single = variants.filter(({ pool }) => typeof pool.from === 'object').map(({ name }) => name);
  const pairs = [
    ...['infonce', 'listwise', 'both'].map((name) => ['base', name] as const),
    ...['infonce', 'listwise'].map((name) => [name, 'both'] as const),
    ...single.map((name) => [name, 'mixed'] as const),
    ...['written', 'human-and-written'].map((name) => ['human', name] as const),
  ];
  const contrasts: Contrast[] = [];
  for (const [base, other] of pairs) {
    const [before, after] = [measured.get(base), measured.get(other)];
    if (!before || !after) continue;
    const change = await differenceOf(before, after, settings);
    contrasts.push({
      ...{ base, baseLabel: labels.get(base)!, other, otherLabel: labels.get(other)!, measure: settings.measure },
      ...{ before: change.base, after: change.value, difference: change.difference, interval: change.interval },
      ...{ p: change.pRandomization, confidence: settings.confidence },
    });
  }
  return contrasts;
}

import { rename, rm } from 'node:fs/promises';
import { JudgedCollection } from '../evaluation/collection.js';
import { compare } from '../evaluation/compare.js';
import { DEFAULT_MEASURES, evaluateRun } from '../evaluation/measures.js';
import { collectionSubset } from '../evaluation/subset.js';
import { readTrecRun } from '../formats/trec.js';
import { writing } from '../formats/writing.js';
import { readLists } from '../lists/file.js';
import { interpolateModels } from '../models/interpolation.js';
import { Random } from '../random.js';
import type { Run } from '../types.js';
import { devCollection, type EvaluatedOn, evaluationCollection, runOfModel } from './evaluation-stage.js';
import { type GuardResult, objections } from './gate.js';
import type { Guards } from './guards.js';
import { judge, type Verdict } from './verdict.js';
import type { Workbench } from './workbench.js';

/** A mixture of base and trained weights that is offered where the trained model was not promoted. */
export interface Offer {
  /** How much of the trained weights. */
  share: number;
  /** The model's directory, relative to the run directory; absent if no mixture held on all guard sets. */
  directory?: string;
  /**
   * Which queries chose the share. They are not those that `verdict` is on: 'dev lists' are written queries, over their
   * candidates and a sample of other passages; 'half' is a seeded half of the queries that are evaluated on.
   */
  chosenOn: 'dev lists' | 'half';
  /** The first measure on those queries, by share. */
  choices: { share: number; value: number }[];
  verdict: Verdict;
  guards: GuardResult[];
  /** Whether it would have passed the gate. */
  passes: boolean;
}

/** Fewest queries of which half can say anything. */
const FEWEST_TO_SPLIT = 4;

/** Queries to choose by and queries to test on, which have none in common. */
interface Trial {
  chosenOn: Offer['chosenOn'];
  choosing: JudgedCollection;
  testing: JudgedCollection;
}

/**
 * Tries mixtures of base and trained weights, chooses by queries of its own, and judges the chosen one on the test
 * queries. As the trained model was tried on these already, the mixture's p-value is doubled.
 * @returns undefined if no share is to be tried or there are too few queries
 */
export async function offerMixture(bench: Workbench, guards: Guards, on: EvaluatedOn): Promise<Offer | undefined> {
  const { options, directory } = bench;
  const trial = options.mixingShares.length > 0 ? await planTrial(bench, on) : undefined;
  if (!trial) return undefined;
  const choices: (Offer['choices'][number] & { model: string })[] = [];
  for (const share of [...options.mixingShares].sort((a, b) => a - b)) {
    const model = directory.promotion(`mixture-${share}`);
    await mix(bench, model, share);
    choices.push({ share, model, value: await valueOn(trial.choosing, model, bench) });
  }
  const ranked = [...choices].sort((a, b) => b.value - a.value || a.share - b.share);
  let chosen = ranked[0]!;
  let guarded: GuardResult[] = [];
  for (const candidate of ranked) {
    const results = await guards.compare(`mixture-${candidate.share}`, candidate.model);
    const holds = results.every((result) => result.holds);
    if (candidate === ranked[0] || holds) [chosen, guarded] = [candidate, results];
    if (holds) break;
  }
  const verdict = await judgeMixture(chosen.model, trial.testing, { bench, on });
  const passes = objections(verdict, guarded).length === 0;
  const isOffered = guarded.every((result) => result.holds);
  if (isOffered) {
    await writing(directory.file('offer'), () => rename(chosen.model, directory.file('offer')));
  }
  for (const { model } of choices) await rm(model, { recursive: true, force: true });
  return {
    share: chosen.share,
    ...(isOffered && { directory: directory.relative('offer') }),
    chosenOn: trial.chosenOn,
    choices: choices.map(({ share, value }) => ({ share, value })),
    ...{ verdict, guards: guarded, passes },
  };
}

async function mix(bench: Workbench, target: string, share: number): Promise<void> {
  const { directory, options, modelDirectory: base } = bench;
  const card = `# A mixture of weights\n\n${1 - share} of the base model's and ${share} of the trained one's, made by listwise.\n`;
  await interpolateModels({ base, trained: directory.file('model'), share, target, card, signal: options.signal });
}

/** Dev lists choose where the test is on other queries; else the queries are halved. */
async function planTrial(bench: Workbench, on: EvaluatedOn): Promise<Trial | undefined> {
  const testing = await evaluationCollection(bench);
  const { corpus, directory, options } = bench;
  if (on === 'test') {
    const lists = await readLists(directory.file('dev'), { corpus, signal: options.signal }).catch(() => []);
    if (lists.length > 0) {
      const keep = lists.flatMap(({ passages }) => passages.map(({ id }) => id));
      const { seed, signal } = options;
      const data = await collectionSubset(await devCollection(bench), { keep, seed, signal });
      const choosing = await JudgedCollection.open({ name: 'dev lists', data });
      return { chosenOn: 'dev lists', choosing, testing };
    }
  }
  if (testing.queries.length < FEWEST_TO_SPLIT) return undefined;
  const ids = Random.for(options.seed, 'halves').shuffle(testing.queries.map(({ id }) => id));
  const first = new Set(ids.slice(0, ids.length >> 1));
  return {
    chosenOn: 'half',
    choosing: testing.only((id) => first.has(id)),
    testing: testing.only((id) => !first.has(id)),
  };
}

async function valueOn(collection: JudgedCollection, model: string, bench: Workbench): Promise<number> {
  const [measure] = bench.options.measures ?? DEFAULT_MEASURES;
  const run = await runOfModel(model, { collection, bench });
  const { mean } = await evaluateRun(collection.qrels, run, [measure!], { signal: bench.options.signal });
  return Object.values(mean)[0]!;
}

async function judgeMixture(
  model: string,
  collection: JudgedCollection,
  { bench, on }: { bench: Workbench; on: EvaluatedOn },
): Promise<Verdict> {
  const { measures, resamples, seed, signal, significance, significanceTest: test } = bench.options;
  const base: Run = await readTrecRun(bench.directory.file('baseRun'), { signal });
  const run = await runOfModel(model, { collection, bench });
  const systems = { base: { name: 'base', run: base }, others: [{ name: 'mixture', run }] };
  const comparison = await compare({ ...systems, data: collection, measures, resamples, seed, signal });
  return judge(comparison, { on, significance, test, looks: 2 });
}

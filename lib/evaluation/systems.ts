import { stat } from 'node:fs/promises';
import { InvalidArgumentError, NotFoundError } from '../errors.js';
import { readQrelsFile } from '../formats/qrels.js';
import { readTrecRun } from '../formats/trec.js';
import type { LongWork, Qrels, Run } from '../types.js';
import { type JudgedCollection, openCollections, type TestSet } from './collection.js';
import type { EvaluateOptions } from './evaluate.js';
import { checkReranking, type Reranking, rerankRun, settleScorer, withScorer } from './reranking.js';
import { retrieve, type TextEmbedder, withEncoder } from './retrieval.js';

/** A run in memory or in a TREC file; where there are several test sets, one for each, in their order. */
export interface RunSystem extends Reranking {
  /** The file's path by default; with `rerank` that and the cross-encoder's name. */
  name?: string;
  run: Run | string | readonly (Run | string)[];
}

/** A model to be run on the collection. */
export interface ModelSystem extends Reranking {
  /** The model's directory or Hub name by default; with `rerank` that and the cross-encoder's name. */
  name?: string;
  model: string | TextEmbedder;
}

/** What can be compared. A string is a TREC run if there is a file of that name, else a model. */
export type System = string | RunSystem | ModelSystem;

/** What systems are judged by: a whole collection, which models need, or judgements alone, which do for runs. */
export interface JudgementOptions extends Pick<EvaluateOptions, 'split' | 'modelOptions' | 'k' | 'maxLength'> {
  /** A directory in BEIR's layout, or the same in memory; or several of these. */
  data?: TestSet | readonly TestSet[];
  /** Judgements, or a file of them in TREC's or BEIR's layout; those of `data` by default. */
  qrels?: Qrels | string;
}

/** What systems are judged by, under its name. */
export interface JudgedSet {
  name: string;
  qrels: Qrels;
  collection?: JudgedCollection;
}

/** @throws InvalidArgumentError if there is neither `data` nor `qrels`, or both */
export async function readJudgements(options: JudgementOptions, signal?: AbortSignal): Promise<JudgedSet[]> {
  const { data, qrels, split } = options;
  if (data !== undefined && qrels !== undefined) {
    throw new InvalidArgumentError('qrels', 'either data or qrels', 'both', 'data has judgements of its own');
  }
  if (data !== undefined) {
    const sets = Array.isArray(data) ? (data as readonly TestSet[]) : [data as TestSet];
    const collections = await openCollections(sets, { split, signal });
    return collections.map((collection) => ({ name: collection.name, qrels: collection.qrels, collection }));
  }
  if (qrels === undefined) {
    throw new InvalidArgumentError('data', 'data (a collection) or qrels (judgements)', undefined);
  }
  if (typeof qrels !== 'string') return [{ name: 'test set', qrels }];
  return [{ name: qrels, qrels: await readQrelsFile(qrels, { signal }) }];
}

/** A system with the name that a comparison gives it. */
export type NamedSystem = (RunSystem | ModelSystem) & { name: string };

/**
 * @throws InvalidArgumentError if two systems have one name, or one has none
 * @throws NotFoundError if a run file is missing
 */
export async function nameSystems(systems: readonly System[], sets: readonly JudgedSet[]): Promise<NamedSystem[]> {
  const hasCollection = sets.every(({ collection }) => collection);
  const named: NamedSystem[] = [];
  for (const [index, system] of systems.entries()) {
    const argument = index === 0 ? 'base' : `others[${index - 1}]`;
    const next = typeof system === 'string' ? await recognize(system, hasCollection) : withName(system, argument);
    if (named.some(({ name }) => name === next.name)) {
      throw new InvalidArgumentError(argument, 'systems of different names', next.name, 'give one a name');
    }
    checkReranking(next);
    if (('model' in next || next.rerank !== undefined) && !hasCollection) {
      const why = 'model' in next ? `${next.name} is a model` : `${next.name} is to be reranked`;
      throw new InvalidArgumentError('data', 'a collection to run models on', undefined, why);
    }
    named.push(next);
  }
  return named;
}

/**
 * Refuses options that no system of a comparison reads: runs are searched and encoded already.
 * @throws InvalidArgumentError naming the first
 */
export function rejectIdle(systems: readonly NamedSystem[], options: JudgementOptions): void {
  const { qrels, split, k, maxLength, modelOptions = {} } = options;
  const refuse = (name: string, value: unknown, expected: string) => {
    if (value !== undefined) throw new InvalidArgumentError(name, expected, value, 'without that nothing reads it');
  };
  if (qrels !== undefined) refuse('split', split, 'a collection (data) instead of qrels beside it');
  if (systems.some((system) => 'model' in system)) return;
  for (const [name, value] of Object.entries({ k, maxLength })) refuse(name, value, 'a model among the systems');
  // A cross-encoder that reranks a run is loaded to the same device.
  const isReranked = systems.some(({ rerank }) => rerank !== undefined);
  for (const [name, value] of Object.entries(modelOptions)) {
    if (isReranked && (name === 'device' || name === 'precision')) continue;
    refuse(name, value, 'a model among the systems');
  }
}

async function recognize(name: string, hasCollection: boolean): Promise<NamedSystem> {
  const stats = await stat(name).catch(() => undefined);
  if (stats?.isFile()) return { name, run: name };
  if (hasCollection) return { name, model: name };
  const problem = stats ? 'that is a directory' : 'there is no such file';
  throw new NotFoundError(
    `Expected a run in TREC layout at ${name} but ${problem}; to compare models, give a collection (data), not qrels.`,
  );
}

function withName(system: RunSystem | ModelSystem, argument: string): NamedSystem {
  const what: unknown = (system as Partial<RunSystem>)?.run ?? (system as Partial<ModelSystem>)?.model;
  if (what === undefined || what === null) {
    throw new InvalidArgumentError(argument, 'a run file, a model, {name, run} or {name, model}', system);
  }
  const parts = [what, ...(system.rerank === undefined ? [] : [system.rerank])];
  const made = parts.every((part) => typeof part === 'string') ? parts.join(' + ') : undefined;
  const name = system.name ?? made;
  if (name === undefined) throw new InvalidArgumentError(`${argument}.name`, 'a name for what is in memory', undefined);
  return { ...system, name };
}

/** Looks at all cross-encoders before the first system takes its time. @throws as settleScorer does */
export async function checkScorers(
  systems: readonly NamedSystem[],
  { modelOptions, signal, onProgress }: JudgementOptions & LongWork,
): Promise<void> {
  const { device, precision } = modelOptions ?? {};
  for (const system of systems) await settleScorer({ ...system, signal, onProgress }, { device, precision });
}

/** What systems returned, by their model or run: a base that is also reranked is run once. */
export type KnownRuns = Map<unknown, Run[]>;

/**
 * What a system returns for the judged queries of each set; a model is loaded once and run on all.
 * @throws InvalidArgumentError if there is not a run for each set, or one has none of the judged queries
 */
export async function runsOf(
  system: NamedSystem,
  sets: readonly JudgedSet[],
  options: JudgementOptions & LongWork & { known: KnownRuns },
): Promise<Run[]> {
  const what = 'model' in system ? system.model : system.run;
  const runs = options.known.get(what) ?? (await ownRuns(system, sets, options));
  options.known.set(what, runs);
  return system.rerank === undefined ? runs : rerankAll(system, runs, { ...options, sets });
}

function rerankAll(
  system: NamedSystem,
  runs: readonly Run[],
  { sets, modelOptions, signal, onProgress }: JudgementOptions & LongWork & { sets: readonly JudgedSet[] },
): Promise<Run[]> {
  const { device, precision } = modelOptions ?? {};
  const report: LongWork['onProgress'] =
    onProgress && ((progress) => onProgress({ ...progress, stage: `${system.name}: ${progress.stage}` }));
  const work = { depth: system.rerankDepth, signal, onProgress: report };
  return withScorer({ ...system, signal, onProgress: report }, { device, precision }, async (scorer) => {
    const reranked: Run[] = [];
    for (const [i, { collection }] of sets.entries()) {
      reranked.push(await rerankRun(scorer!, runs[i]!, collection!, work));
    }
    return reranked;
  });
}

async function ownRuns(
  system: NamedSystem,
  sets: readonly JudgedSet[],
  options: JudgementOptions & LongWork,
): Promise<Run[]> {
  if ('model' in system) return runModel({ ...system, sets }, options);
  const given = Array.isArray(system.run) ? (system.run as readonly (Run | string)[]) : [system.run as Run | string];
  if (given.length !== sets.length) {
    const expected = `${sets.length} runs, one for each test set,`;
    throw new InvalidArgumentError(`the run ${system.name}`, expected, `${given.length}`);
  }
  const runs: Run[] = [];
  for (const [i, { qrels }] of sets.entries())
    runs.push(await readRun(given[i] as Run | string, { name: system.name, qrels, signal: options.signal }));
  return runs;
}

function runModel(
  { name, model, sets }: NamedSystem & ModelSystem & { sets: readonly JudgedSet[] },
  { modelOptions, k, maxLength, signal, onProgress }: JudgementOptions & LongWork,
): Promise<Run[]> {
  const reporter = (prefix: string): LongWork['onProgress'] =>
    onProgress && ((progress) => onProgress({ ...progress, stage: `${prefix}: ${progress.stage}` }));
  return withEncoder({ model, modelOptions, signal, onProgress: reporter(name) }, async (encoder) => {
    const runs: Run[] = [];
    for (const set of sets) {
      const prefix = sets.length > 1 ? `${name} on ${set.name}` : name;
      const work = { k, maxLength, signal, onProgress: reporter(prefix) };
      runs.push(await retrieve(encoder, set.collection as JudgedCollection, work));
    }
    return runs;
  });
}

interface RunPlace {
  name: string;
  qrels: Qrels;
  signal: AbortSignal | undefined;
}

async function readRun(given: Run | string, { name, qrels, signal }: RunPlace): Promise<Run> {
  const run = typeof given === 'string' ? await readTrecRun(given, { signal }) : given;
  if (![...qrels.keys()].some((query) => run.has(query))) {
    const example = `queries such as "${qrels.keys().next().value}"`;
    throw new InvalidArgumentError(`the run ${name}`, `judged queries, ${example}`, run, 'check that they fit');
  }
  return run;
}

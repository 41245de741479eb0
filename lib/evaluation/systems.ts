import { stat } from 'node:fs/promises';
import { InvalidArgumentError, NotFoundError } from '../errors.js';
import type { TestCollection } from '../formats/beir.js';
import { readQrelsFile } from '../formats/qrels.js';
import { readTrecRun } from '../formats/trec.js';
import type { LongWork, Qrels, Run } from '../types.js';
import { type EvaluateOptions, readCollection } from './evaluate.js';
import { retrieve, type TextEmbedder, withEncoder } from './retrieval.js';

/** A run in memory or in a TREC file. */
export interface RunSystem {
  /** The file's path by default. */
  name?: string;
  run: Run | string;
}

/** A model to be run on the collection. */
export interface ModelSystem {
  /** The model's directory or Hub name by default. */
  name?: string;
  model: string | TextEmbedder;
}

/** What can be compared. A string is a TREC run if there is a file of that name, else a model. */
export type System = string | RunSystem | ModelSystem;

/** What systems are judged by: a whole collection, which models need, or judgements alone, which do for runs. */
export interface JudgementOptions extends Pick<EvaluateOptions, 'split' | 'modelOptions' | 'k' | 'maxLength'> {
  /** A directory in BEIR's layout, or the same in memory. */
  data?: string | TestCollection;
  /** Judgements, or a file of them in TREC's or BEIR's layout; those of `data` by default. */
  qrels?: Qrels | string;
}

export interface Judgements {
  qrels: Qrels;
  collection?: TestCollection;
}

/** @throws InvalidArgumentError if there is neither `data` nor `qrels`, or both */
export async function readJudgements(options: JudgementOptions, signal?: AbortSignal): Promise<Judgements> {
  const { data, qrels, split } = options;
  if (data !== undefined && qrels !== undefined) {
    throw new InvalidArgumentError('qrels', 'either data or qrels', 'both', 'data has judgements of its own');
  }
  if (data !== undefined) {
    const collection = await readCollection({ data, split, signal });
    return { qrels: collection.qrels, collection };
  }
  if (qrels === undefined) {
    throw new InvalidArgumentError('data', 'data (a collection) or qrels (judgements)', undefined);
  }
  return { qrels: typeof qrels === 'string' ? await readQrelsFile(qrels, { signal }) : qrels };
}

/** A system with the name that a comparison gives it. */
export type NamedSystem = (RunSystem | ModelSystem) & { name: string };

/**
 * @throws InvalidArgumentError if two systems have one name, or one has none
 * @throws NotFoundError if a run file is missing
 */
export async function nameSystems(systems: readonly System[], { collection }: Judgements): Promise<NamedSystem[]> {
  const named: NamedSystem[] = [];
  for (const [index, system] of systems.entries()) {
    const argument = index === 0 ? 'base' : `others[${index - 1}]`;
    const next = typeof system === 'string' ? await recognize(system, collection) : withName(system, argument);
    if (named.some(({ name }) => name === next.name)) {
      throw new InvalidArgumentError(argument, 'systems of different names', next.name, 'give one a name');
    }
    if ('model' in next && !collection) {
      throw new InvalidArgumentError('data', 'a collection to run models on', undefined, `${next.name} is a model`);
    }
    named.push(next);
  }
  return named;
}

async function recognize(name: string, collection: TestCollection | undefined): Promise<NamedSystem> {
  const stats = await stat(name).catch(() => undefined);
  if (stats?.isFile()) return { name, run: name };
  if (collection) return { name, model: name };
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
  const name = system.name ?? (typeof what === 'string' ? what : undefined);
  if (name === undefined) throw new InvalidArgumentError(`${argument}.name`, 'a name for what is in memory', undefined);
  return { ...system, name };
}

/**
 * What a system returns for the judged queries; a model is run on the collection.
 * @throws InvalidArgumentError if a run has none of the judged queries
 */
export async function runOf(
  system: NamedSystem,
  { qrels, collection }: Judgements,
  options: JudgementOptions & LongWork,
): Promise<Run> {
  const { modelOptions, k, maxLength, signal, onProgress } = options;
  if ('model' in system) {
    const report: LongWork['onProgress'] = (progress) =>
      onProgress?.({ ...progress, stage: `${system.name}: ${progress.stage}` });
    const work = { signal, onProgress: report };
    return withEncoder({ model: system.model, modelOptions, ...work }, (encoder) =>
      retrieve(encoder, collection as TestCollection, { k, maxLength, ...work }),
    );
  }
  const run = typeof system.run === 'string' ? await readTrecRun(system.run, { signal }) : system.run;
  if (![...qrels.keys()].some((query) => run.has(query))) {
    const example = `queries such as "${qrels.keys().next().value}"`;
    throw new InvalidArgumentError(`the run ${system.name}`, `judged queries, ${example}`, run, 'check that they fit');
  }
  return run;
}

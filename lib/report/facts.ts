import { readFile } from 'node:fs/promises';
import { DataError, NotFoundError } from '../errors.js';
import { readJsonl } from '../formats/jsonl.js';
import type { EvaluationResult } from '../specialize/evaluation-stage.js';
import { Manifest, type StageRecord } from '../specialize/manifest.js';
import type { Promotion } from '../specialize/promotion-stage.js';
import { RunDirectory } from '../specialize/run-directory.js';
import { STAGES, type StageName } from '../specialize/stages.js';
import type { EvaluationRecord, StepRecord } from '../training/log.js';
import { type FunnelRow, readFunnel } from './funnel.js';
import { readScoreHistogram, type ScoreHistogram } from './score-histogram.js';

/** A stage that is complete. */
export interface StageFacts extends StageRecord {
  name: StageName;
}

/** A query under base and trained model. */
export interface QueryPoint {
  query: string;
  base: number;
  trained: number;
}

/** All that a report says, read from a run directory. What the run did not come to is undefined or empty. */
export interface RunFacts {
  directory: string;
  /** The base model as the user named it; the run directory's name where training has not ended. */
  model: string;
  stages: StageFacts[];
  funnel: FunnelRow[];
  scores?: ScoreHistogram;
  steps: StepRecord[];
  evaluations: EvaluationRecord[];
  evaluation?: EvaluationResult;
  /** By the first measure. */
  points: QueryPoint[];
  promotion?: Promotion;
}

/**
 * Reads what a run wrote.
 * @throws NotFoundError if there is no run; DataError if a file of it is broken
 */
export async function readRunFacts(path: string, signal?: AbortSignal): Promise<RunFacts> {
  const directory = new RunDirectory(path);
  const manifest = await Manifest.open(directory.file('manifest'));
  const stages = STAGES.flatMap((name) => {
    const record = manifest.get(name);
    return record?.complete ? [{ name, ...record }] : [];
  });
  if (stages.length === 0) {
    throw new NotFoundError(
      `Expected the directory of a run, with a manifest.json of complete stages, at ${path} but there is none; give ` +
        'the --output of `listwise specialize`.',
    );
  }
  const has = (stage: StageName) => stages.some(({ name }) => name === stage);
  const evaluation = has('evaluation') ? await readJson<EvaluationResult>(directory.file('comparison')) : undefined;
  const promotion = has('promotion') ? await readJson<Promotion>(directory.file('promotion')) : undefined;
  const scores = has('teacher') ? await readScoreHistogram(directory, signal) : undefined;
  const log = has('training') ? await readLog(directory.file('trainingLog'), signal) : { steps: [], evaluations: [] };
  return {
    directory: path,
    model: has('training') ? await readModelName(directory) : (path.split(/[\\/]/).at(-1) as string),
    stages,
    funnel: await readFunnel(stages, directory, signal),
    ...(scores && { scores }),
    ...log,
    ...(evaluation && { evaluation }),
    points: evaluation ? await readPoints(directory, evaluation) : [],
    ...(promotion && { promotion }),
  };
}

async function readJson<T>(file: string): Promise<T> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as T;
  } catch (cause) {
    const problem = `Expected JSON that a run wrote: ${(cause as Error).message}. Run \`listwise specialize\` again.`;
    throw new DataError({ file }, problem, { cause });
  }
}

async function readModelName(directory: RunDirectory): Promise<string> {
  const { options } = await readJson<{ options: { model: string } }>(directory.file('trainingSummary'));
  return options.model;
}

async function readLog(file: string, signal?: AbortSignal): Promise<Pick<RunFacts, 'steps' | 'evaluations'>> {
  const steps: StepRecord[] = [];
  const evaluations: EvaluationRecord[] = [];
  for await (const { value } of readJsonl(file, signal ? { signal } : {})) {
    const record = value as unknown as StepRecord | EvaluationRecord;
    if (record.kind === 'step') steps.push(record);
    else if (record.kind === 'evaluation') evaluations.push(record);
  }
  return { steps, evaluations };
}

async function readPoints(directory: RunDirectory, { comparison }: EvaluationResult): Promise<QueryPoint[]> {
  type PerQuery = { perQuery: Record<string, Record<string, number>> };
  const measure = comparison.measures[0] as string;
  const base = (await readJson<PerQuery>(directory.file('baseMeasures'))).perQuery[measure] ?? {};
  const trained = (await readJson<PerQuery>(directory.file('trainedMeasures'))).perQuery[measure] ?? {};
  return Object.entries(base).map(([query, value]) => ({ query, base: value, trained: trained[query] ?? 0 }));
}

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { InvalidArgumentError, NotFoundError } from '../errors.js';
import type { Json } from '../hashes.js';
import { type Holder, holderOf, isStale } from '../setup/lock.js';
import type { Progress } from '../types.js';
import { Manifest } from './manifest.js';
import { RunDirectory } from './run-directory.js';
import { readRunState } from './run-progress.js';
import { STAGES, upTo } from './stages.js';

export interface StageStatus {
  stage: string;
  /** 'begun' was started and not finished, and is not under way. */
  state: 'done' | 'running' | 'begun' | 'to do';
  /** When it began, by ISO 8601. */
  started?: string;
  /** Seconds that it took. */
  seconds?: number;
  counts?: Json;
}

/** Where a run is. */
export interface RunStatus {
  directory: string;
  /** 'killed': its process ended without saying why. 'stopped': it is not under way and not failed, done or not. */
  state: 'running' | 'stopped' | 'failed' | 'killed';
  /** The process that works on it now. */
  holder?: Pick<Holder, 'pid' | 'host' | 'since'>;
  /** What is under way, or was when the run failed or was killed; `rate` by second. */
  progress?: Progress & { rate?: number };
  /** When the last sign of life was written. */
  updated?: string;
  /** Why it failed. */
  error?: string;
  stages: StageStatus[];
}

/**
 * Where a run is, while it is under way in another process or after. Reads, and changes nothing.
 * @param output the run directory
 * @throws NotFoundError if there is no run; DataError if its manifest is none
 */
export async function runStatus(output: string): Promise<RunStatus> {
  if (typeof output !== 'string' || output === '') throw new InvalidArgumentError('output', 'a run directory', output);
  const directory = new RunDirectory(resolve(output));
  const isThere = (file: 'manifest' | 'lock') =>
    stat(directory.file(file)).then(
      () => true,
      () => false,
    );
  if (!(await isThere('manifest')) && !(await isThere('lock'))) {
    throw new NotFoundError(
      `Expected a run directory at ${directory.path} but it has no manifest.json; check the path.`,
    );
  }
  const manifest = await Manifest.open(directory.file('manifest'));
  const state = await readRunState(directory);
  const holder = holderOf(directory.file('lock'));
  const isRunning = holder !== undefined && !isStale(directory.file('lock'));
  // A process that just took the lock has not yet replaced what one that was killed had noted.
  const noted = isRunning && state?.process.pid !== holder.pid ? undefined : state;
  const { progress, updated, error } = noted ?? {};
  return {
    directory: directory.path,
    state: isRunning ? 'running' : error !== undefined ? 'failed' : noted ? 'killed' : 'stopped',
    ...(isRunning && { holder: { pid: holder.pid, host: holder.host, since: holder.since } }),
    ...(progress && { progress }),
    ...(updated !== undefined && { updated }),
    ...(error !== undefined && !isRunning && { error }),
    stages: stagesIn(manifest).map((stage) => stageStatus(stage, manifest, isRunning ? noted?.stage : undefined)),
  };
}

/** Those of a run; where there is a study, its own too, and of those after the lists what was begun. */
function stagesIn(manifest: Manifest): readonly string[] {
  const isOfRun = (name: string) => (STAGES as readonly string[]).includes(name);
  const studied = manifest.names().filter((name) => !isOfRun(name));
  if (studied.length === 0) return STAGES;
  const shared: readonly string[] = upTo('lists');
  return [...STAGES.filter((name) => shared.includes(name) || manifest.get(name)), ...studied];
}

function stageStatus(stage: string, manifest: Manifest, running: string | undefined): StageStatus {
  const record = manifest.get(stage);
  if (!record) return { stage, state: running === stage ? 'running' : 'to do' };
  const { complete, started, seconds, counts } = record;
  if (!complete) return { stage, state: running === stage ? 'running' : 'begun', started };
  return { stage, state: 'done', started, seconds, counts };
}

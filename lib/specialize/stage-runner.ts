import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hashFile, hashJson, type Json } from '../hashes.js';
import { versions } from '../versions.js';
import type { Manifest, StageRecord } from './manifest.js';
import { openPartial, type PartialWork, removePartial } from './partial-work.js';
import { dependents, NEEDS, type StageName } from './stages.js';

/** What a run tells of its stages. */
export type StageEvent =
  /** The stage is complete with the same options and inputs: nothing is done. */
  | { stage: StageName; status: 'reused'; counts: Json; seconds: number }
  /** The same stage was begun before and not finished: it goes on from what it left. */
  | { stage: StageName; status: 'continued' }
  /** It was done before, but not like this, so it and the later stages that build on it are done again. */
  | { stage: StageName; status: 'invalidated'; reason: string; later: StageName[] }
  | { stage: StageName; status: 'started' }
  | { stage: StageName; status: 'done'; counts: Json; seconds: number };

export interface Stage {
  name: StageName;
  /** Whatever decides the result beside the inputs. */
  options: Record<string, Json | undefined>;
  /** SHA-256 of what comes from outside of the run, by name. */
  inputs: Record<string, string>;
  /** Files that the stage writes, relative to the run directory; a function where that shows only afterwards. */
  outputs: readonly string[] | (() => Promise<readonly string[]>);
  /** Does the stage, or what an earlier process left of it, and returns what it counted. */
  work: (partial: PartialWork) => Promise<Json>;
}

export interface RunnerOptions {
  directory: string;
  manifest: Manifest;
  signal?: AbortSignal;
  onStage?: (event: StageEvent) => void;
}

/** Does stages that are not done already, and keeps the manifest. */
export class StageRunner {
  readonly #options: RunnerOptions;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** @returns what the stage counted, now or when it was done */
  async run(stage: Stage): Promise<Json> {
    const { manifest, signal, onStage } = this.#options;
    signal?.throwIfAborted();
    const record = await this.#plan(stage);
    const earlier = manifest.get(stage.name);
    const reason = earlier && (await this.#difference(earlier, record));
    if (earlier && reason === undefined) {
      const { counts = null, seconds = 0 } = earlier;
      onStage?.({ stage: stage.name, status: 'reused', counts, seconds });
      return counts;
    }
    if (earlier?.key === record.key && !earlier.complete) {
      onStage?.({ stage: stage.name, status: 'continued' });
    } else if (earlier) {
      const later = dependents(stage.name).filter((name) => manifest.get(name));
      onStage?.({ stage: stage.name, status: 'invalidated', reason: reason!, later });
      await manifest.remove(later);
    }
    return this.#do(stage, record);
  }

  async #do(stage: Stage, record: StageRecord): Promise<Json> {
    const { manifest, signal, onStage } = this.#options;
    onStage?.({ stage: stage.name, status: 'started' });
    await manifest.put(stage.name, record);
    const started = performance.now();
    const partial = await openPartial(this.#options.directory, stage.name, record.key);
    const counts = await stage.work(partial);
    const outputs: Record<string, string> = {};
    const files = typeof stage.outputs === 'function' ? await stage.outputs() : stage.outputs;
    for (const file of files) outputs[file] = await hashFile(this.#path(file), signal);
    const seconds = Math.round(performance.now() - started) / 1000;
    await manifest.put(stage.name, { ...record, complete: true, seconds, counts, outputs });
    await removePartial(this.#options.directory, stage.name);
    onStage?.({ stage: stage.name, status: 'done', counts, seconds });
    return counts;
  }

  async #plan({ name, options, inputs }: Stage): Promise<StageRecord> {
    const needs = Object.fromEntries(NEEDS[name].map((need) => [need, this.#options.manifest.get(need)!.key]));
    const current = await versions();
    const key = hashJson({ name, options, inputs, needs, listwise: current.listwise! });
    return { complete: false, key, options, inputs, needs, versions: current, started: new Date().toISOString() };
  }

  /** Why a stage must be done again, in words; undefined where it need not. */
  async #difference(earlier: StageRecord, now: StageRecord): Promise<string | undefined> {
    if (earlier.key !== now.key) return changeOf(earlier, now);
    if (!earlier.complete) return 'it was not finished';
    for (const [file, hash] of Object.entries(earlier.outputs ?? {})) {
      const found = await stat(this.#path(file)).catch(() => undefined);
      if (!found?.isFile()) return `${file} is missing`;
      if ((await hashFile(this.#path(file), this.#options.signal)) !== hash) return `${file} was changed`;
    }
    return undefined;
  }

  #path(file: string): string {
    return join(this.#options.directory, file);
  }
}

function changeOf(earlier: StageRecord, now: StageRecord): string {
  const changes: string[] = [];
  for (const name of namesOf(earlier.options, now.options)) {
    const [before, after] = [earlier.options[name], now.options[name]].map(shown);
    if (before !== after) changes.push(`${name} changed from ${before} to ${after}`);
  }
  for (const name of namesOf(earlier.inputs, now.inputs)) {
    if (earlier.inputs[name] !== now.inputs[name]) changes.push(`the ${name} changed`);
  }
  for (const name of namesOf(earlier.needs, now.needs)) {
    if (earlier.needs[name] !== now.needs[name]) changes.push(`stage ${name} was done again`);
  }
  if (changes.length > 0) return changes.join(', ');
  return `listwise ${earlier.versions.listwise} made it, and this is ${now.versions.listwise}`;
}

function namesOf(a: object, b: object): Set<string> {
  return new Set([...Object.keys(a), ...Object.keys(b)]);
}

function shown(value: Json | undefined): string {
  return value === undefined ? 'the default' : JSON.stringify(value);
}

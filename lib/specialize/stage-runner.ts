import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../errors.js';
import { hashFile, hashJson, type Json } from '../hashes.js';
import { versions } from '../versions.js';
import { changesOf } from './changes.js';
import type { Manifest, StageRecord } from './manifest.js';
import { hasPartialWork, openPartial, type PartialWork, removePartial } from './partial-work.js';
import { needsOf, type StageName } from './stages.js';
import type { InputSource } from './workbench.js';

/** What a run tells of its stages. */
export type StageEvent<Name extends string = StageName> =
  /** The stage is complete with the same options and inputs: nothing is done. */
  | { stage: Name; status: 'reused'; counts: Json; seconds: number }
  /** The same stage was begun before and not finished: it goes on from what it left. */
  | { stage: Name; status: 'continued' }
  /** It was done before, but not like this, so it and the later stages that build on it are done again. */
  | { stage: Name; status: 'invalidated'; reason: string; later: Name[] }
  | { stage: Name; status: 'started' }
  | { stage: Name; status: 'done'; counts: Json; seconds: number };

/** What a stage is about to work on, as far as it can be known before, and what that would take. */
export interface Estimate {
  /** How many of what: at most, where earlier stages still decide. */
  count: number;
  unit: string;
  /** Tokens that models would read and write. */
  tokens?: number;
  seconds?: number;
  /** In the currency of the prices given. */
  cost?: number;
}

export interface Stage<Name extends string = StageName> {
  name: Name;
  /** What it builds on directly. Default: what NEEDS says. */
  needs?: readonly string[];
  /** Whatever decides the result beside the inputs. */
  options: Record<string, Json | undefined>;
  /** SHA-256 of what comes from outside of the run, by name. */
  inputs: Record<string, string>;
  /** Inputs that `work` reads from the disk, by name: they are hashed once more before and after it. */
  sources?: Record<string, InputSource>;
  /** Files that the stage writes, relative to the run directory; a function where that shows only afterwards. */
  outputs: readonly string[] | (() => Promise<readonly string[]>);
  /** Why it is done again even where it is complete and nothing changed. */
  again?: string;
  /** What a process that was stopped has done of it elsewhere than in its partial directory, in words. */
  begun?: () => Promise<string | undefined>;
  /** Does the stage, or what an earlier process left of it, and returns what it counted. */
  work: (partial: PartialWork) => Promise<Json>;
  /** For a plan: what the stage would work on. */
  estimate?: () => Promise<Estimate>;
}

/** What is to become of a stage, and why. */
export interface PlannedStage<Name extends string = StageName> {
  stage: Stage<Name>;
  record: StageRecord;
  /** 'new' where nothing of it is there. */
  state: 'reused' | 'continued' | 'invalidated' | 'new';
  /** Why it is done again. */
  reason?: string;
  /** The earlier stage whose being done again is the reason, if its own options and inputs are the same. */
  after?: string;
  /** Of a stage that is done again for its own reasons: the later ones that are lost with it. */
  later: Name[];
  /** Whether work that was done is lost. */
  loses: boolean;
  /** Of a stage that is done again though it was under way: what it had done, in words. */
  begun?: string;
}

export interface RunnerOptions<Name extends string = StageName> {
  directory: string;
  manifest: Manifest;
  signal?: AbortSignal;
  onStage?: (event: StageEvent<Name>) => void;
}

/** Does stages that are not done already, and keeps the manifest. */
export class StageRunner<Name extends string = StageName> {
  readonly #options: RunnerOptions<Name>;

  constructor(options: RunnerOptions<Name>) {
    this.#options = options;
  }

  /**
   * What is to become of stages, each after those that it builds on. Reads, and changes nothing.
   * @param before stages that were planned already, on which these may build
   */
  async plan(
    stages: readonly Stage<Name>[],
    before: readonly PlannedStage<Name>[] = [],
  ): Promise<PlannedStage<Name>[]> {
    const planned: PlannedStage<Name>[] = [];
    for (const stage of stages) planned.push(await this.#planStage(stage, [...before, ...planned]));
    return planned;
  }

  /** Does what was planned. @returns what the stage counted, now or when it was done */
  async run({ stage, record, state, reason, after, later }: PlannedStage<Name>): Promise<Json> {
    const { manifest, signal, onStage } = this.#options;
    signal?.throwIfAborted();
    const { name } = stage;
    if (state === 'reused') {
      const { counts = null, seconds = 0 } = manifest.get(name)!;
      onStage?.({ stage: name, status: 'reused', counts, seconds });
      return counts;
    }
    if (state === 'continued') onStage?.({ stage: name, status: 'continued' });
    if (state === 'invalidated' && !after) {
      onStage?.({ stage: name, status: 'invalidated', reason: reason!, later });
      await manifest.remove(later);
    }
    return this.#do(stage, record);
  }

  async #do(stage: Stage<Name>, record: StageRecord): Promise<Json> {
    const { directory, manifest, signal, onStage } = this.#options;
    onStage?.({ stage: stage.name, status: 'started' });
    await checkSources(stage);
    await manifest.put(stage.name, record);
    const started = performance.now();
    const counts = await stage.work(await openPartial(directory, stage.name, record.key));
    await checkSources(stage);
    const outputs: Record<string, string> = {};
    const files = typeof stage.outputs === 'function' ? await stage.outputs() : stage.outputs;
    for (const file of files) outputs[file] = await hashFile(this.#path(file), signal);
    const seconds = Math.round(performance.now() - started) / 1000;
    await manifest.put(stage.name, { ...record, complete: true, seconds, counts, outputs });
    await removePartial(directory, stage.name);
    onStage?.({ stage: stage.name, status: 'done', counts, seconds });
    return counts;
  }

  async #planStage(stage: Stage<Name>, before: readonly PlannedStage<Name>[]): Promise<PlannedStage<Name>> {
    const { manifest, directory } = this.#options;
    const { name } = stage;
    const record = await this.#newRecord(stage, before);
    const earlier = manifest.get(name);
    if (!earlier) return { stage, record, later: [], loses: false, state: 'new' };
    const begun = earlier.complete ? undefined : await stage.begun?.();
    const plan = { stage, record, later: [], loses: false, begun };
    if (earlier.key === record.key && !earlier.complete) return { ...plan, state: 'continued' };
    const again = before.find((one) => one.state !== 'reused' && needsOf(stage).includes(one.stage.name));
    const reason = await this.#reason(earlier, record, stage.again);
    const loses = earlier.complete || begun !== undefined || (await hasPartialWork(directory, name));
    if (reason?.isOwn || (reason && !again)) {
      const later = manifest.dependents(name) as Name[];
      return { ...plan, state: 'invalidated', reason: reason.text, later, loses };
    }
    if (!again) return { ...plan, state: 'reused' };
    const after = again.after ?? again.stage.name;
    return { ...plan, state: 'invalidated', reason: `stage ${after} is done again`, after, loses };
  }

  /** Why a stage must be done again; undefined where it need not. */
  async #reason(
    earlier: StageRecord,
    now: StageRecord,
    asked?: string,
  ): Promise<{ text: string; isOwn: boolean } | undefined> {
    if (earlier.key !== now.key) {
      const { own, needs } = changesOf(earlier, now);
      return { text: [...own, ...needs].join(', '), isOwn: own.length > 0 };
    }
    const changed = asked ?? (await this.#changedOutput(earlier));
    return changed === undefined ? undefined : { text: changed, isOwn: true };
  }

  async #newRecord(stage: Stage<Name>, before: readonly PlannedStage<Name>[]): Promise<StageRecord> {
    const { name, options, inputs } = stage;
    const keyOf = (need: string) => before.find((one) => one.stage.name === need)!.record.key;
    const needs = Object.fromEntries(needsOf(stage).map((need) => [need, keyOf(need)]));
    const current = await versions();
    const key = hashJson({ name, options, inputs, needs, listwise: current.listwise! });
    return { complete: false, key, options, inputs, needs, versions: current, started: new Date().toISOString() };
  }

  /** What of a complete stage's files is not as it was written. */
  async #changedOutput({ outputs = {} }: StageRecord): Promise<string | undefined> {
    for (const [file, hash] of Object.entries(outputs)) {
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

/** @throws DataError if a file that the stage reads is not what it was when the run started */
async function checkSources({ name, inputs, sources = {} }: Stage<string>): Promise<void> {
  for (const [source, { path, hash }] of Object.entries(sources)) {
    if ((await hash()) === inputs[source]) continue;
    const problem =
      `The ${source} changed after the run had started and before stage ${name} was done with it; ` +
      'start the run again to use what is there now.';
    throw new DataError({ file: path }, problem);
  }
}

import { basename, resolve } from 'node:path';
import { JudgedCollection } from '../evaluation/collection.js';
import { compare } from '../evaluation/compare.js';
import { retrieve } from '../evaluation/retrieval.js';
import { writeTrecRun } from '../formats/trec.js';
import type { Run } from '../types.js';
import { runOfModel } from './evaluation-stage.js';
import { type GuardResult, guardResult } from './gate.js';
import type { InputSource, Workbench } from './workbench.js';

/** Test collections on which a model must not lose; what the base finds on them is computed once. */
export class Guards {
  /** The sets as inputs of a stage. */
  readonly sources: Readonly<Record<string, InputSource>>;
  readonly #bench: Workbench;
  readonly #baseRuns = new Map<string, Run>();

  constructor(bench: Workbench) {
    this.#bench = bench;
    const { guards } = bench.options;
    this.sources = Object.fromEntries(
      guards.map((guard) => [`guard set ${guard}`, bench.collectionSource(guard, 'test')]),
    );
  }

  /**
   * A model beside the base on each set. Runs are written to promotion/guards.
   * @param name of the model, for files
   */
  async compare(name: string, model: string): Promise<GuardResult[]> {
    const { guards, guardLoss, measures, resamples, seed, signal } = this.#bench.options;
    const results: GuardResult[] = [];
    for (const [i, guard] of guards.entries()) {
      const collection = await JudgedCollection.open(guard, { signal });
      const base = this.#baseRuns.get(guard) ?? (await this.#baseRun(collection));
      if (!this.#baseRuns.has(guard)) await this.#write(i, 'base', base);
      this.#baseRuns.set(guard, base);
      const run = await runOfModel(model, { collection, bench: this.#bench });
      await this.#write(i, name, run);
      const systems = { base: { name: 'base', run: base }, others: [{ name, run }] };
      const comparison = await compare({ ...systems, data: collection, measures, resamples, seed, signal });
      results.push(guardResult(guard, comparison, guardLoss));
    }
    return results;
  }

  async #baseRun(collection: JudgedCollection): Promise<Run> {
    const { k } = this.#bench.options;
    try {
      return await retrieve(await this.#bench.embedder(), collection, { k, ...this.#bench.work });
    } finally {
      await this.#bench.releaseEmbedder();
    }
  }

  async #write(guard: number, name: string, run: Run): Promise<void> {
    const { guards, signal } = this.#bench.options;
    const folder = `${guard + 1}-${basename(resolve(guards[guard]!))}`;
    await writeTrecRun(this.#bench.directory.promotion('guards', folder, `${name}.trec`), run, { tag: name, signal });
  }
}

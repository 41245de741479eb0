import { readFile } from 'node:fs/promises';
import { DataError } from '../errors.js';
import { writeLines } from '../formats/atomic.js';
import type { Json } from '../hashes.js';

/** What is known of a stage that was begun. */
export interface StageRecord {
  complete: boolean;
  /** SHA-256 of all that decides the stage's result: options, inputs, what it builds on, and listwise's version. */
  key: string;
  options: Record<string, Json | undefined>;
  /** SHA-256 by name. */
  inputs: Record<string, string>;
  /** Keys of the stages it builds on. */
  needs: Record<string, string>;
  versions: Record<string, string>;
  /** When it began, by ISO 8601. */
  started: string;
  seconds?: number;
  /** What it counted. */
  counts?: Json;
  /** SHA-256 by file, relative to the run directory. */
  outputs?: Record<string, string>;
}

interface ManifestFile {
  format: 1;
  stages: Record<string, StageRecord>;
}

/** manifest.json of a run directory: which stages were done, from what, and with what result. */
export class Manifest {
  readonly #file: string;
  readonly #stages: Map<string, StageRecord>;

  private constructor(file: string, stages: Map<string, StageRecord>) {
    this.#file = file;
    this.#stages = stages;
  }

  /** Reads the file, or begins a new one where there is none. @throws DataError if it is not a manifest */
  static async open(file: string): Promise<Manifest> {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    });
    if (text === undefined) return new Manifest(file, new Map());
    const remedy = 'give another output directory, or remove this one to do all stages again.';
    let parsed: ManifestFile;
    try {
      parsed = JSON.parse(text) as ManifestFile;
    } catch (error) {
      const problem = `Expected the manifest of a run but the parser says: ${(error as Error).message}; ${remedy}`;
      throw new DataError({ file }, problem, { cause: error });
    }
    if (parsed?.format !== 1 || typeof parsed.stages !== 'object' || parsed.stages === null) {
      throw new DataError({ file, field: 'format' }, `Expected the manifest of a run, of format 1; ${remedy}`);
    }
    return new Manifest(file, new Map(Object.entries(parsed.stages)));
  }

  get(stage: string): StageRecord | undefined {
    return this.#stages.get(stage);
  }

  /** The stages begun, in their order. */
  names(): string[] {
    return [...this.#stages.keys()];
  }

  /** The stages begun that build on one, directly or through others, in the order in which they were begun. */
  dependents(stage: string): string[] {
    const found = new Set([stage]);
    for (let before = 0; before < found.size; ) {
      before = found.size;
      for (const [name, { needs }] of this.#stages)
        if (Object.keys(needs).some((need) => found.has(need))) found.add(name);
    }
    return [...this.#stages.keys()].filter((name) => name !== stage && found.has(name));
  }

  async put(stage: string, record: StageRecord): Promise<void> {
    this.#stages.set(stage, record);
    await this.#write();
  }

  async remove(stages: readonly string[]): Promise<void> {
    for (const stage of stages) this.#stages.delete(stage);
    await this.#write();
  }

  async #write(): Promise<void> {
    const content: ManifestFile = { format: 1, stages: Object.fromEntries(this.#stages) };
    await writeLines(this.#file, [JSON.stringify(content, null, 2)]);
  }
}

import { passageText } from '../corpus/passage.js';
import type { CountTokens } from '../corpus/splitter.js';
import { readJsonl } from '../formats/jsonl.js';
import { tokenCounter } from '../models/token-counter.js';
import { readHumanQueries } from '../queries/human.js';
import { planSteps } from '../training/schedule.js';
import type { Manifest } from './manifest.js';
import type { Estimate } from './stage-runner.js';
import type { StageName } from './stages.js';
import type { Workbench } from './workbench.js';

/** Texts that are looked at for their length, and encoded for the speed. */
const SAMPLE_TEXTS = 200;
const TIMED_TOKENS = 8_000;
/** Of a training step, in forward passes: one forward and a backward pass, which is two. */
const PASSES = 3;

/**
 * What stages would work on, before they do: numbers from the stages that are done, else from the inputs, which is at
 * most; tokens from a sample; time from the base model's speed on a sample, on this machine as it is now.
 */
export class Estimator {
  readonly #bench: Workbench;
  readonly #manifest: Pick<Manifest, 'get'>;
  readonly #count: CountTokens;
  #speed: Promise<number> | undefined;
  #passages: Promise<Sample> | undefined;
  #queries: Promise<Sample> | undefined;
  #expected: number | undefined;

  constructor(bench: Workbench, manifest: Pick<Manifest, 'get'>) {
    this.#bench = bench;
    this.#manifest = manifest;
    this.#count = tokenCounter(bench.modelDirectory, bench.options.signal);
  }

  /** Takes as given how many queries there will be, where another wrote that estimate. */
  expectQueries(count: number): void {
    this.#expected = count;
  }

  async of(stage: StageName): Promise<Estimate> {
    const { corpus, options } = this.#bench;
    const queries = this.#known('queries', 'kept') ?? this.#expected ?? (await this.#sampleQueries()).of;
    const kept = this.#known('candidates', 'kept') ?? queries;
    switch (stage) {
      case 'corpus':
        return { count: corpus.size, unit: 'passages' };
      case 'queries':
        return { count: queries, unit: 'queries' };
      case 'embeddings':
      case 'evaluation':
        return this.encoding(corpus.size, 'passages');
      case 'candidates':
        return this.encoding(queries, 'queries');
      case 'teacher':
        return { count: kept * options.depth * options.retrievers.length, unit: 'pairs' };
      case 'lists':
        return { count: kept, unit: 'queries' };
      case 'training':
        return this.training({ train: this.#known('lists', 'train') ?? kept, dev: this.#known('lists', 'dev') ?? 0 });
      case 'promotion':
        return { count: options.guards?.length ?? 0, unit: 'guard sets' };
    }
  }

  /** Encoding texts once, forward. */
  async encoding(count: number, unit: 'passages' | 'queries'): Promise<Estimate> {
    const { meanTokens } = await (unit === 'passages' ? this.#samplePassages() : this.#sampleQueries());
    const tokens = Math.round(count * meanTokens);
    return { count, unit, tokens, seconds: tokens / (await this.#tokensPerSecond()) };
  }

  /**
   * All epochs with their evaluations on dev: early stopping ends most runs sooner. Each distinct passage of a batch is
   * encoded once.
   * @param sizes lists to train on and to stop by, and where it is known how many distinct passages a step has; else
   * its lists are taken to be drawn at random from the corpus
   */
  async training(sizes: { train: number; dev: number; distinct?: number }): Promise<Estimate> {
    const { train, dev, distinct } = sizes;
    const { options } = this.#bench;
    const { epochs, batchSize, maxSteps, evaluateEvery } = options as Required<typeof options>;
    const { totalSteps, stepsPerEpoch } = planSteps({ lists: train, epochs, batchSize, maxSteps });
    const evaluations = dev > 0 ? 1 + Math.ceil(totalSteps / Math.min(evaluateEvery ?? stepsPerEpoch, totalSteps)) : 0;
    const trained = totalSteps * (await this.#listTokens(Math.min(batchSize, train), distinct));
    const evaluated = evaluations * (await this.#listTokens(dev));
    const seconds = (PASSES * trained + evaluated) / (await this.#tokensPerSecond());
    return { count: totalSteps, unit: 'steps', tokens: Math.round(trained + evaluated), seconds };
  }

  async #listTokens(lists: number, distinct = this.#distinct(lists)): Promise<number> {
    const [passages, queries] = [await this.#samplePassages(), await this.#sampleQueries()];
    return distinct * passages.meanTokens + lists * queries.meanTokens;
  }

  #distinct(lists: number): number {
    const { corpus, options } = this.#bench;
    const { listLength } = options as Required<typeof options>;
    return corpus.size * (1 - Math.exp((-lists * listLength) / corpus.size));
  }

  /** Of the base model, forward, on sampled passages. */
  #tokensPerSecond(): Promise<number> {
    this.#speed ??= (async () => {
      const { texts, meanTokens } = await this.#samplePassages();
      const embedder = await this.#bench.embedder();
      const { signal } = this.#bench.options;
      const timed = texts.slice(0, Math.max(1, Math.ceil(TIMED_TOKENS / meanTokens)));
      // The first call is slower than those that follow.
      await embedder.encode(timed.slice(0, 8), { kind: 'passage', signal });
      const started = performance.now();
      await embedder.encode(timed, { kind: 'passage', signal });
      return (1000 * timed.length * meanTokens) / (performance.now() - started);
    })();
    return this.#speed;
  }

  #samplePassages(): Promise<Sample> {
    const { corpus, options } = this.#bench;
    const step = Math.max(1, Math.floor(corpus.size / SAMPLE_TEXTS));
    const rows = Array.from({ length: Math.min(SAMPLE_TEXTS, corpus.size) }, (_, i) => i * step);
    this.#passages ??= this.#measure(
      rows.map((row) => passageText(corpus.at(row))),
      { of: corpus.size, longest: options.passageMaxLength! },
    );
    return this.#passages;
  }

  #sampleQueries(): Promise<Sample> {
    this.#queries ??= (async () => {
      const { queries, humanQueries, humanSplit, queryMaxLength, signal } = this.#bench.options;
      const texts: string[] = [];
      if (queries !== undefined) {
        for await (const { value } of readJsonl(queries, { signal })) texts.push(String(value.query ?? ''));
      }
      if (humanQueries !== undefined) {
        const { corpus } = this.#bench;
        const people = await readHumanQueries(humanQueries, humanSplit, { corpus, unusable: new Map(), signal });
        for (const { text } of people.queries) texts.push(text);
      }
      return this.#measure(texts.slice(0, SAMPLE_TEXTS), { of: texts.length, longest: queryMaxLength! });
    })();
    return this.#queries;
  }

  async #measure(texts: string[], { of, longest }: { of: number; longest: number }): Promise<Sample> {
    if (texts.length === 0) return { texts, of, meanTokens: longest / 4 };
    // Two special tokens a text, as most tokenisers add.
    const counts = Array.from(await this.#count(texts), (count) => Math.min(longest, count + 2));
    return { texts, of, meanTokens: counts.reduce((sum, count) => sum + count, 0) / counts.length };
  }

  #known(stage: StageName, name: string): number | undefined {
    const record = this.#manifest.get(stage);
    const counts = record?.complete ? (record.counts as Record<string, unknown> | null) : undefined;
    return typeof counts?.[name] === 'number' ? counts[name] : undefined;
  }
}

interface Sample {
  texts: string[];
  /** How many there are, of which these are a sample. */
  of: number;
  /** As the model reads them, cut to the longest. */
  meanTokens: number;
}

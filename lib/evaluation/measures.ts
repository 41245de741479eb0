import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { Qrels, Run, ScoredPassage } from '../types.js';
import { type Measure, type MeasureOptions, parseMeasure } from './measure-names.js';
import { type GradedRanking, idealGrades, sortPassages, type TieBreaking, UNJUDGED } from './ranking.js';

/** What listwise reports where nothing else is asked for. */
export const DEFAULT_MEASURES: readonly string[] = ['nDCG@10', 'R@100', 'RR@10', 'AP', 'P@10'];

export interface EvaluateRunOptions extends MeasureOptions {
  signal?: AbortSignal;
}

/** Values by measure name, in ir_measures' notation (`Recall@100` comes back as `R@100`). */
export interface RunEvaluation {
  /** Mean over all judged queries. */
  mean: Record<string, number>;
  /** By measure and query id, in the order of the judgements. */
  perQuery: Record<string, Map<string, number>>;
}

/**
 * Scores a run against judgements with trec_eval's definitions, equal to what ir_measures computes. Every judged query
 * counts, with 0 where the run lacks it; queries without judgements do not count. The order of a ranking is that of
 * its scores as 32-bit floats, ties by passage id in descending order, whatever order it came in; RR@k and Judged@k
 * break ties as ir_measures does, in ascending order.
 * @param measures names as parseMeasure reads them
 * @throws InvalidArgumentError for an unknown measure, no judgements at all, a grade that is no whole number, a score
 *   that is no number, or a passage that a query has twice; ListwiseError INVALID_ARGUMENT for an unknown option
 */
export async function evaluateRun(
  qrels: Qrels,
  run: Run,
  measures: readonly string[] = DEFAULT_MEASURES,
  options: EvaluateRunOptions = {},
): Promise<RunEvaluation> {
  rejectUnknownOptions(options, ['relevanceLevel', 'judgedOnly', 'signal'], 'evaluateRun');
  const { signal, ...measureOptions } = options;
  const parsed = parseMeasures(measures, measureOptions);
  if (qrels.size === 0) throw new InvalidArgumentError('qrels', 'judgements of at least one query', qrels);
  const perQuery: RunEvaluation['perQuery'] = {};
  for (const { name } of parsed) perQuery[name] = new Map();
  const breathe = breather(signal);
  signal?.throwIfAborted();
  for (const [query, judgements] of qrels) {
    const views = new Rankings(query, judgements, run.get(query) ?? []);
    for (const measure of parsed) perQuery[measure.name]?.set(query, views.value(measure));
    await breathe();
  }
  const mean: RunEvaluation['mean'] = {};
  for (const { name } of parsed) mean[name] = meanOf((perQuery[name] as Map<string, number>).values());
  return { mean, perQuery };
}

/** Reads several measures' names; one that stands twice counts once. @throws InvalidArgumentError if there is none */
export function parseMeasures(measures: readonly string[], options: MeasureOptions = {}): Measure[] {
  if (!Array.isArray(measures) || measures.length === 0) {
    throw new InvalidArgumentError('measures', 'an array of at least one measure, such as nDCG@10', measures);
  }
  const byName = new Map(measures.map((text) => parseMeasure(text, options)).map((measure) => [measure.name, measure]));
  return [...byName.values()];
}

/**
 * What is retrieved must reach as far as what is measured: recall@100 of 50 passages would be recall@50 under a wrong name.
 * @param k passages per query, where that was chosen
 * @throws InvalidArgumentError
 */
export function checkReach(measures: readonly Measure[], k: number | undefined): void {
  const furthest = measures.reduce((a, b) => ((b.cutoff ?? 0) > (a.cutoff ?? 0) ? b : a));
  // What is no number of passages at all is refused where passages are retrieved.
  if (k === undefined || !(k >= 1) || k >= (furthest.cutoff ?? 0)) return;
  const remedy = `or leave ${furthest.name} out of the measures`;
  throw new InvalidArgumentError('k', `at least ${furthest.cutoff}, as ${furthest.name} needs,`, k, remedy);
}

function meanOf(values: Iterable<number>): number {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    sum += value;
    count += 1;
  }
  return sum / count;
}

/** One query's ranking, sorted and graded once for each way that the measures want it. */
class Rankings {
  readonly #ideal: number[];
  readonly #views = new Map<string, GradedRanking>();

  constructor(
    readonly query: string,
    readonly judgements: ReadonlyMap<string, number>,
    readonly passages: readonly ScoredPassage[],
  ) {
    this.#ideal = idealGrades(query, judgements);
  }

  value({ definition, cutoff, relevanceLevel, judgedOnly }: Measure): number {
    const view = this.#view(definition.ties(cutoff !== undefined), judgedOnly);
    return definition.compute(view, { cutoff: cutoff ?? Infinity, relevanceLevel });
  }

  #view(ties: TieBreaking, judgedOnly: boolean): GradedRanking {
    const key = `${ties} ${judgedOnly}`;
    let view = this.#views.get(key);
    if (!view) {
      view = this.#grade(ties, judgedOnly);
      this.#views.set(key, view);
    }
    return view;
  }

  #grade(ties: TieBreaking, judgedOnly: boolean): GradedRanking {
    const view: GradedRanking = { grades: [], judged: [], ideal: this.#ideal };
    for (const { id } of sortPassages(this.query, this.passages, ties)) {
      const grade = Math.max(this.judgements.get(id) ?? UNJUDGED, UNJUDGED);
      if (judgedOnly && grade === UNJUDGED) continue;
      view.grades.push(grade);
      view.judged.push(this.judgements.has(id));
    }
    return view;
  }
}

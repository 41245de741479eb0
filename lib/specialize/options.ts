import { type Bm25Options, settleBm25Options } from '../candidates/bm25.js';
import type { NumberType } from '../candidates/npy.js';
import { type SelectionOptions, settleSelectionOptions } from '../candidates/selection.js';
import { type CorpusOptions, type CorpusSource, corpusOptionNames, settleCorpusOptions } from '../corpus/corpus.js';
import { type DuplicateOptions, settleDuplicateOptions } from '../corpus/duplicates.js';
import type { ExclusionOptions } from '../corpus/exclusion.js';
import type { SortOptions } from '../corpus/key-sorter.js';
import { InvalidArgumentError } from '../errors.js';
import { checkReach, DEFAULT_MEASURES, parseMeasures } from '../evaluation/measures.js';
import { checkResampling } from '../evaluation/statistics.js';
import { type ListOptions, settleListOptions } from '../lists/build.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { QueryEstimate } from '../queries/writing.js';
import { type QueryWritingOptions, queryWritingOptionNames, type SettledWriting } from '../queries/writing-options.js';
import { type SettledTeacher, settleTeacher, type TeacherChoice } from '../teachers/choice.js';
import { type FusedWeights, settleWeights } from '../teachers/fused.js';
import { settleOptions, type TrainingOptions, trainingOptionNames } from '../training/options.js';
import type { LongWork } from '../types.js';
import { checkGateOptions } from './gate.js';
import type { OnInvalidate } from './invalidation.js';
import { checkChoices, checkCounts, checkNeeds, checkPlaces, settleWriting } from './option-checks.js';
import type { StageEvent } from './stage-runner.js';
import type { StageName } from './stages.js';
import type { SignificanceTest } from './verdict.js';

/** See docs/candidates.md. */
export type Retriever = 'dense' | 'bm25' | `${'model' | 'run' | 'lancedb' | 'lancedb-text'}:${string}`;

/** Options of the stages before training. */
type PreparationOptions = Omit<CorpusOptions, 'countTokens'> &
  Omit<DuplicateOptions, keyof LongWork | keyof SortOptions> &
  ExclusionOptions &
  Omit<Bm25Options, 'maxCharacters'> &
  Omit<SelectionOptions, keyof LongWork> &
  FusedWeights &
  Omit<ListOptions, keyof LongWork>;

/** Options of trainListwise that the pipeline does not set itself. */
type TrainingChoices = Omit<
  TrainingOptions,
  'model' | 'lists' | 'dev' | 'corpus' | 'output' | 'listLength' | 'onReplace' | keyof LongWork
>;

/**
 * What specialize takes. `corpus`, `model`, `output` and one of `queries`, `humanQueries` and a language model
 * (`llmModel`, `llmGguf` or `llmEndpoints`) must be given.
 */
export interface SpecializeOptions extends PreparationOptions, QueryWritingOptions, TrainingChoices, LongWork {
  /** The passages to search: the path of their files (a BEIR directory, CSV, Markdown, ...), or passages. */
  corpus: CorpusSource;
  /** The model to make better at searching them: a directory or a Hub name. */
  model: string;
  /**
   * Queries written for passages: a JSON Lines file of {"passage", "type", "query"}. May be absent beside
   * humanQueries or a language model, which adds to them.
   */
  queries?: string;
  /**
   * Queries of people to train on, with the passages judged relevant: a BEIR directory's queries.jsonl and
   * qrels/<humanSplit>.tsv, with ids of this corpus. Alone or beside written ones. Default none.
   */
  humanQueries?: string;
  /** Which judgements of humanQueries; must be others than those that the test is made of. Default 'train'. */
  humanSplit?: string;
  /** The run directory. What is there already and still holds is not done again. */
  output: string;
  /**
   * 'fused', the default, needs nothing else: dense and BM25 scores of the corpus. Or scores from a file, JSON Lines of
   * {"query", "passage", "score"} or a TREC run, for the candidates in candidates/fused.trec. Or a reranker or LLM on a
   * server, or several teachers: see TeacherChoice.
   */
  teacher?: TeacherChoice;
  /**
   * Whether passages that the test set judges are excluded too. Default false: neither the test queries nor their
   * judgements are read in training, and the passages are those that the model is to search.
   */
  excludeJudged?: boolean;
  /** Most passages whose queries are used, a seeded sample. Default 100,000. */
  maxPassages?: number;
  /** Who finds candidates. Default ['dense'], the model itself. */
  retrievers?: readonly Retriever[];
  /** How embeddings of passages are kept in files: 'fp32', the default, or 'bf16', in half the space. */
  embeddingsType?: NumberType;
  /** Candidates per retriever and query. Default 100. */
  depth?: number;
  /** A test set of queries that people judged: a BEIR directory. Without it, dev lists are evaluated on. */
  data?: string;
  /** Which judgements of the test set. Default 'test'. */
  split?: string;
  /** Measures by ir_measures' names; the first decides the verdict. Default nDCG@10, R@100, RR@10, AP, P@10. */
  measures?: readonly string[];
  /** Field of the test queries to break the comparison down by, such as `metadata.kind`. Dev lists: by type. */
  by?: string;
  /** Passages per query that are evaluated. Default 1,000. */
  k?: number;
  /** Resamples of bootstrap and randomisation test. Default 10,000. */
  resamples?: number;
  /** A difference counts as significant if the test's p is below this. Default 0.05. */
  significance?: number;
  /** Which paired test decides. Default 'randomization'. */
  significanceTest?: SignificanceTest;
  /** Test collections of other kinds, BEIR directories, on which the trained model must not lose. Default none. */
  guards?: readonly string[];
  /** Most that the first measure may fall on each guard set for the trained model to be promoted. Default 0.01. */
  guardLoss?: number;
  /**
   * Where the trained model is not promoted, mixtures of base and trained weights are tried with these shares of the
   * trained ones. Default [0.25, 0.5, 0.75]; [] tries none.
   */
  mixingShares?: readonly number[];
  /** Of everything random. Default 1. */
  seed?: number;
  /** Stop after this stage. Default 'promotion', the last. */
  until?: StageName;
  /**
   * Hears which work of an earlier run in `output` would be lost to changed options or inputs, before anything is; unless
   * it returns true the run stops there. By default it goes on.
   */
  onInvalidate?: OnInvalidate;
  /** Hears, before a language model is asked for queries, what is to be asked and what it may cost. */
  onEstimate?: (estimate: QueryEstimate) => void;
  /** Hears what becomes of each stage. */
  onStage?: (event: StageEvent) => void;
}

/** Names of training options that are passed on as they are. */
export const trainingChoices: readonly string[] = trainingOptionNames.filter(
  (name) =>
    !['model', 'lists', 'dev', 'corpus', 'output', 'listLength', 'onReplace', 'signal', 'onProgress'].includes(name),
);

/** Names of SpecializeOptions, for refusing others. */
export const specializeOptionNames: readonly string[] = [
  ...new Set([
    ...['corpus', 'model', 'queries', 'output', 'teacher', 'exclude', 'excludeJudged', 'excludeQrels', 'maxPassages'],
    ...queryWritingOptionNames,
    ...corpusOptionNames.filter((name) => name !== 'countTokens'),
    ...[
      'retrievers',
      'embeddingsType',
      'depth',
      'minCharacters',
      'nearDuplicates',
      'duplicateWindow',
      'bm25K1',
      'bm25B',
      'bm25Delta',
      'bm25Analysis',
    ],
    ...['maxSourceRank', 'minCandidates', 'rrfK', 'denseWeight', 'bm25Weight'],
    ...['listLength', 'lowPercentile', 'keepPercentile', 'highPercentile', 'devShare'],
    ...['humanQueries', 'humanSplit', 'nearDuplicateThreshold'],
    ...['data', 'split', 'measures', 'by', 'k', 'resamples', 'seed', 'until'],
    ...['significance', 'significanceTest', 'guards', 'guardLoss', 'mixingShares'],
    ...['onInvalidate', 'onEstimate', 'onStage', 'signal', 'onProgress'],
    ...trainingChoices,
  ]),
];

/** Options that have a default for every stage to read. */
export type SettledOptions = Omit<SpecializeOptions, 'teacher'> & {
  teacher: SettledTeacher;
  /** Where a language model writes queries. */
  writing?: SettledWriting;
} & Required<
    Pick<
      SpecializeOptions,
      | 'excludeJudged'
      | 'maxPassages'
      | 'retrievers'
      | 'embeddingsType'
      | 'depth'
      | 'split'
      | 'humanSplit'
      | 'k'
      | 'resamples'
      | 'significance'
      | 'significanceTest'
      | 'guards'
      | 'guardLoss'
      | 'mixingShares'
      | 'seed'
      | 'until'
    >
  >;

const DEFAULTS = {
  excludeJudged: false,
  maxPassages: 100_000,
  retrievers: ['dense'],
  embeddingsType: 'fp32',
  depth: 100,
  split: 'test',
  humanSplit: 'train',
  k: 1000,
  resamples: 10_000,
  significance: 0.05,
  seed: 1,
  significanceTest: 'randomization',
  guards: [],
  guardLoss: 0.01,
  mixingShares: [0.25, 0.5, 0.75],
  until: 'promotion',
} as const;

/**
 * Fills in defaults and checks what can be checked before any work.
 * @throws InvalidArgumentError or ListwiseError INVALID_ARGUMENT naming the first option that is unknown or cannot be
 */
export function settleSpecializeOptions(given: SpecializeOptions): SettledOptions {
  if (typeof given !== 'object' || given === null) {
    throw new InvalidArgumentError('options', 'an object with corpus, model, queries and output', given);
  }
  rejectUnknownOptions(given, specializeOptionNames, 'specialize');
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const options = {
    ...DEFAULTS,
    ...set,
    teacher: settleTeacher(given.teacher ?? 'fused'),
  } as unknown as SettledOptions;
  checkPlaces(options);
  checkNeeds(given);
  checkCounts(options);
  checkGateOptions(options);
  settleCorpusOptions(options);
  settleBm25Options(options);
  // Defaults are settled here, so that naming one changes no stage.
  const settled = {
    ...settleDuplicateOptions(options),
    ...settleSelectionOptions(options),
    ...settleWeights(options),
    ...settleListOptions(options),
    writing: settleWriting(options),
  };
  checkChoices(options);
  checkResampling(options);
  checkReach(parseMeasures(options.measures ?? DEFAULT_MEASURES), options.k);
  const training = pickNames(set, trainingChoices);
  const trained = settleOptions({ ...training, model: options.model, lists: 'lists', output: options.output });
  return { ...options, ...settled, ...pickNames(trained, trainingChoices) };
}

function pickNames(options: object, names: readonly string[]): object {
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name)));
}

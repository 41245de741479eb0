/** The public list of listwise. What is not here may change without notice. */

export type { CleaningOptions, CorpusReport, MistakeCount } from './corpus/cleaning.js';
export { type Corpus, type CorpusOptions, type CorpusSource, loadCorpus } from './corpus/corpus.js';
export { passageText } from './corpus/passage.js';
export type { CorpusFormat } from './corpus/places.js';
export type { CorpusFileOptions } from './corpus/sources.js';
export type { CountTokens, SplitOptions } from './corpus/splitter.js';
export { CrossEncoder, type PairGroup } from './cross-encoder.js';
export { Embedder, type EncodeOptions } from './embedder.js';
export {
  BudgetError,
  DataError,
  type DataLocation,
  type ErrorCode,
  InvalidArgumentError,
  ListwiseError,
  ModelError,
  NativeError,
  NotFoundError,
  RemoteError,
  WriteError,
} from './errors.js';
export {
  type CollectionParts,
  type CollectionSource,
  JudgedCollection,
  type TestSet,
} from './evaluation/collection.js';
export { type ComparedSet, type CompareOptions, type Comparison, compare } from './evaluation/compare.js';
export type { Change, Difference, Example, GroupChange, QueryChange, TopPassage } from './evaluation/differences.js';
export {
  type EvaluateOptions,
  type EvaluateSetsOptions,
  type Evaluation,
  evaluate,
  evaluateSets,
  type SetEvaluation,
} from './evaluation/evaluate.js';
export { type MeasureOptions, measureNames } from './evaluation/measure-names.js';
export { type EvaluateRunOptions, evaluateRun, type RunEvaluation } from './evaluation/measures.js';
export type { PairScorer, Reranking } from './evaluation/reranking.js';
export type { EncodeTexts, TextEmbedder } from './evaluation/retrieval.js';
export {
  type BootstrapOptions,
  bootstrapTest,
  holm,
  type Interval,
  pairedBootstrap,
  pairedTTest,
  type ResamplingOptions,
  randomizationTest,
} from './evaluation/statistics.js';
export { collectionSubset, type SubsetOptions, type SubsetSource } from './evaluation/subset.js';
export type { ModelSystem, RunSystem, System } from './evaluation/systems.js';
export { type ComparisonTableOptions, formatComparison } from './evaluation/table.js';
export { exportOnnx, type OnnxFormat, type OnnxOptions } from './export/onnx.js';
export { readBeir, readCorpus, readQrels, readQueries, type TestCollection } from './formats/beir.js';
export { readQrelsFile, writeBeirQrels, writeTrecQrels } from './formats/qrels.js';
export { readTrecRun, writeTrecRun } from './formats/trec.js';
export type { Distribution } from './lists/distribution.js';
export { type ReadListsOptions, readLists, writeLists } from './lists/file.js';
export { type LabelledListOptions, type LabelledLists, writeLabelledLists } from './lists/labelled.js';
export type { EntropyReport, TeacherReport, TeacherWarning, TypeReport } from './lists/teacher-report.js';
export { formatTeacherReport } from './lists/teacher-table.js';
export type { CrossEncoderOptions } from './models/cross-encoder.js';
export { type ResolveOptions, resolveModel } from './models/hub.js';
export { type InterpolationOptions, interpolateModels } from './models/interpolation.js';
export type { ModelOptions } from './models/model.js';
export type { Pair } from './models/pairs.js';
export { type PushOptions, type PushPlan, type PushResult, planPush, pushModel } from './models/push.js';
export type { ModelSettings } from './models/settings.js';
export { type ProgressDisplay, type ProgressStream, progressDisplay } from './progress.js';
export type { BatchExport, BatchImport } from './queries/batch.js';
export type { LlmEndpoint, LlmOptions } from './queries/llm-options.js';
export type { FailedRecord, QueryRecord } from './queries/outcome.js';
export {
  estimateQueries,
  exportQueryBatch,
  importQueryBatch,
  type WriteQueriesOptions,
  writeQueries,
} from './queries/write-queries.js';
export type { QueryEstimate, QueryWriting } from './queries/writing.js';
export type { QueryWritingOptions } from './queries/writing-options.js';
export { type ReportOptions, writeReport } from './report/report.js';
export { type SearchOptions, searchEmbeddings, type ToRunOptions, toRun } from './search.js';
export { NoListsError } from './specialize/dropped.js';
export type { GuardResult } from './specialize/gate.js';
export type { Invalidation, OnInvalidate } from './specialize/invalidation.js';
export type { Offer } from './specialize/mixture.js';
export type { SpecializeOptions } from './specialize/options.js';
export { planSpecialization, type RunPlan, type StagePlan } from './specialize/plan.js';
export type { Promotion } from './specialize/promotion-stage.js';
export { type Specialization, type StageSummary, specialize } from './specialize/specialize.js';
export type { Estimate, StageEvent } from './specialize/stage-runner.js';
export { type RunStatus, runStatus, type StageStatus } from './specialize/status.js';
export type { SignificanceTest, Verdict } from './specialize/verdict.js';
export type { StudyFinding } from './study/findings.js';
export type { StudyOptions } from './study/options.js';
export { planStudy } from './study/plan.js';
export type { Contrast, StudyFacts, StudyTable, TrialFacts, VariantFacts } from './study/results.js';
export { type Study, study } from './study/study.js';
export { formatStudy } from './study/table.js';
export type { TeacherChoice, TeacherName } from './teachers/choice.js';
export type { CrossEncoderChoice } from './teachers/cross-encoder.js';
export type { JudgeChoice } from './teachers/judge.js';
export type { RerankChoice, RerankKind } from './teachers/rerank.js';
export { type TeachOptions, teach } from './teachers/teach.js';
export type { CrossEncoderTrainingOptions } from './training/cross-encoder-options.js';
export type { EvaluationRecord, RunStepRecord, StepRecord } from './training/log.js';
export type { TrainingOptions } from './training/options.js';
export type { TrainingResult } from './training/result.js';
export type { EarlierRun, TrainingEvent } from './training/run-start.js';
export type { TrainingSource } from './training/sources.js';
export { trainListwise } from './training/train.js';
export { type CrossEncoderTrainingResult, trainCrossEncoder } from './training/train-cross-encoder.js';
export type * from './types.js';

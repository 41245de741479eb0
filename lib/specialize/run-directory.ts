import { join } from 'node:path';

/** Files of a run directory, relative to it. */
export const FILES = {
  manifest: 'manifest.json',
  /** What stages have done that are not complete. */
  partial: 'partial',
  corpus: 'corpus.json',
  duplicates: 'duplicates.jsonl',
  passageEmbeddings: 'embeddings/passages.npy',
  passageIndex: 'embeddings/passages.json',
  queries: 'queries.jsonl',
  queriesDropped: 'queries.dropped.jsonl',
  queryEmbeddings: 'embeddings/queries.npy',
  fused: 'candidates/fused.trec',
  candidatesDropped: 'candidates/dropped.jsonl',
  scores: 'scores.jsonl',
  train: 'lists.train.jsonl',
  dev: 'lists.dev.jsonl',
  dropped: 'dropped.jsonl',
  training: 'training',
  trainingSummary: 'training/training.json',
  trainingLog: 'training/log.jsonl',
  model: 'training/model',
  baseRun: 'evaluation/base.trec',
  trainedRun: 'evaluation/trained.trec',
  baseMeasures: 'evaluation/base.json',
  trainedMeasures: 'evaluation/trained.json',
  comparison: 'evaluation/comparison.json',
} as const;

/** Paths in a run directory. */
export class RunDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  file(name: keyof typeof FILES): string {
    return join(this.path, FILES[name]);
  }

  /** The TREC run of a retriever. */
  candidates(retriever: string): string {
    return join(this.path, retrieverFile(retriever));
  }
}

/** The TREC run of a retriever, relative to the run directory. */
export function retrieverFile(retriever: string): string {
  return `candidates/${retriever}.trec`;
}

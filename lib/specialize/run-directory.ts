import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

/** Files of a run directory, relative to it. */
export const FILES = {
  manifest: 'manifest.json',
  lock: 'run.lock',
  /** Where a run is, for other processes. */
  progress: 'run.progress.json',
  /** What stages have done that are not complete. */
  partial: 'partial',
  corpus: 'corpus.json',
  duplicates: 'duplicates.jsonl',
  passageEmbeddings: 'embeddings/passages.npy',
  passageIndex: 'embeddings/passages.json',
  queries: 'queries.jsonl',
  queriesDropped: 'queries.dropped.jsonl',
  /** What a language model wrote: queries, replies, failures. */
  writing: 'queries',
  queryEmbeddings: 'embeddings/queries.npy',
  fused: 'candidates/fused.trec',
  candidatesDropped: 'candidates/dropped.jsonl',
  /** What teachers on servers answered, one file a teacher. */
  answers: 'teacher',
  scores: 'scores.jsonl',
  train: 'lists.train.jsonl',
  dev: 'lists.dev.jsonl',
  dropped: 'dropped.jsonl',
  teacherDoctor: 'teacher-doctor.json',
  training: 'training',
  trainingSummary: 'training/training.json',
  trainingLog: 'training/log.jsonl',
  model: 'training/model',
  baseRun: 'evaluation/base.trec',
  trainedRun: 'evaluation/trained.trec',
  baseMeasures: 'evaluation/base.json',
  trainedMeasures: 'evaluation/trained.json',
  comparison: 'evaluation/comparison.json',
  promotion: 'promotion/promotion.json',
  offer: 'promotion/interpolated',
  chosenModel: 'model',
  report: 'report.html',
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

  /** The same, relative to the run directory. */
  relative(name: keyof typeof FILES): string {
    return FILES[name];
  }

  /** A place among what the gate writes. */
  promotion(...names: string[]): string {
    return join(this.path, 'promotion', ...names);
  }

  /** The TREC run of a retriever. */
  candidates(retriever: string): string {
    return join(this.path, retrieverFile(retriever));
  }

  /** Files below a folder of the run directory, relative to the run directory; none if it is not there. */
  async filesIn(folder: string): Promise<string[]> {
    const options = { recursive: true, withFileTypes: true } as const;
    const entries = await readdir(join(this.path, folder), options).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) =>
        relative(this.path, join(entry.parentPath ?? entry.path, entry.name))
          .split(sep)
          .join('/'),
      )
      .sort();
  }
}

/** The TREC run of a retriever, relative to the run directory. */
export function retrieverFile(retriever: string): string {
  return `candidates/${retriever}.trec`;
}

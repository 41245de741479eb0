/** The nouns that all stages share, in the field's usual terms. */

/** A passage of a corpus. `title` may be empty. */
export interface Passage {
  id: string;
  title: string;
  text: string;
}

/**
 * A query. `type` and `source` (the id of the passage it was written for) are there when an LLM wrote it; `relevant`
 * (the ids of the passages that people judged relevant) when it is a person's.
 */
export interface Query {
  id: string;
  text: string;
  type?: string;
  source?: string;
  relevant?: readonly string[];
}

/** Relevance judgements: query id → passage id → grade. Grades below 1 are not relevant. */
export type Qrels = Map<string, Map<string, number>>;

export interface ScoredPassage {
  id: string;
  score: number;
}

/** What a retriever returned: query id → passages, best first. */
export type Run = Map<string, ScoredPassage[]>;

/** One candidate of a training list; `text` is there when no corpus is given to look `id` up in. */
export interface ListPassage {
  id: string;
  text?: string;
  /** Teacher score; in [0, 1] after normalising. */
  score: number;
}

/** A query with candidates and teacher scores: the unit of training. The first passage is the positive. */
export interface TrainingList {
  /** The query's id, for messages and logs; its place in the file if none was given. */
  id: string;
  query: string;
  type?: string;
  source?: string;
  passages: ListPassage[];
}

/** What long work reports. `unit` names what is counted ('passages', 'steps', 'queries'). */
export interface Progress {
  stage: string;
  done: number;
  total: number;
  unit: string;
  /** Anything a reader would like beside the bar, such as the current loss. */
  note?: string;
  /** Tokens read and written so far, by a model here or on a server. */
  tokens?: number;
  /** What was paid so far, in the currency of the prices that the user gave. */
  cost?: number;
}

export interface LongWork {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

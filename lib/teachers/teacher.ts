import type { LongWork, Query, ScoredPassage } from '../types.js';

/** A passage as a teacher reads it. */
export interface TeacherPassage {
  id: string;
  /** Title and text as `passageText` joins and cuts them. */
  text: string;
}

/** A query and the passages to score for it. */
export interface TeacherRequest {
  query: Query;
  /** Best first by the retrievers. */
  passages: readonly TeacherPassage[];
}

/** A teacher's scores for passages of one query; higher is more relevant. */
export interface TeacherScores {
  query: string;
  passages: ScoredPassage[];
  /** Passages that the teacher was asked about and could not score; asking again would not help. */
  unscored?: string[];
  /** Tokens that a server counted for it. */
  tokens?: number;
}

/** What was asked of a server, over all runs of a process that was stopped and started again. */
export interface Spent {
  /** Requests answered. */
  requests: number;
  /** Pairs of a query and a passage that were scored. */
  pairs: number;
  tokens: number;
}

export interface TeacherWork extends LongWork {
  /** What was spent before, which counts towards the teacher's budget. */
  spent?: Spent;
}

/** Something that judges how relevant passages are to a query; its order is what the embedder is to learn. */
export interface Teacher {
  /** For logs and manifests. */
  readonly name: string;
  /** Anything that a reader would like to see beside the progress, such as how often a server had to be asked again. */
  readonly note?: string;
  /** Whether scores are at hand rather than computed, so that they need not be kept to go on after a stop. */
  readonly isAtHand?: boolean;
  /** Frees what the teacher holds, such as a model's weights. */
  dispose?(): Promise<void>;
  /**
   * Scores requests, and gives scores the moment they are there: in any order, and a query's passages perhaps in
   * pieces, each the answer to one request of a server. A teacher whose scores are at hand gives one piece a request,
   * in order. A passage that cannot be scored is left out.
   */
  score(
    requests: Iterable<TeacherRequest> | AsyncIterable<TeacherRequest>,
    work?: TeacherWork,
  ): AsyncIterable<TeacherScores>;
}

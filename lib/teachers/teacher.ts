import type { LongWork, Query, ScoredPassage } from '../types.js';

/** A query and the passages to score for it. */
export interface TeacherRequest {
  query: Query;
  /** Passage ids, best first by the retrievers. */
  candidates: readonly string[];
}

/** A teacher's scores of one query's candidates, in the order of the candidates; higher is more relevant. */
export interface TeacherScores {
  query: string;
  passages: ScoredPassage[];
}

/** Something that judges how relevant passages are to a query; its order is what the embedder is to learn. */
export interface Teacher {
  /** For logs and manifests. */
  readonly name: string;
  /** Scores requests one by one, in their order. A candidate that the teacher cannot score is left out. */
  score(requests: Iterable<TeacherRequest>, work?: LongWork): AsyncIterable<TeacherScores>;
}

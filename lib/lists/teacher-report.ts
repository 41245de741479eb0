import type { TemperatureMatch } from '../training/temperature.js';
import type { Distribution } from './distribution.js';

/** What the teacher says about one type of queries, and what became of them. */
export interface TypeReport {
  /** All queries of the type that came into the run. */
  queries: number;
  /** How many each filter dropped, by the filter's name. */
  dropped: Record<string, number>;
  /** Queries that have a list. */
  lists: number;
  /** Queries with enough scores: what the next two are shares and means of. */
  scored: number;
  /** Share of these whose positive has the highest score, ties not counted. */
  positiveFirst: number;
  /** Mean of 1 / the positive's rank by the teacher's score. */
  reciprocalRank: number;
  /** Share of these whose highest score is that of several candidates. */
  tiedTop: number;
  /** The teacher's scores as they came, of all queries that have any. */
  scores?: Distribution;
  /** The scores in the lists, in [0, 1]. */
  normalised?: Distribution;
  entropy?: EntropyReport;
}

/** Mean entropies of distributions over lists, in nats, at the temperatures of the report. */
export interface EntropyReport {
  /** Lists looked at. */
  lists: number;
  teacher: number;
  student: number;
  /** Share of lists over which the teacher spreads as good as evenly: at least 98 % of the highest entropy. */
  flat: number;
  /** Share of lists of which the teacher gives one passage as good as everything: at most 2 % of the highest. */
  peaked: number;
}

/** Something that will make training worse than it need be. */
export interface TeacherWarning {
  /** The type of queries that it is about; absent if all. */
  type?: string;
  problem: string;
  remedy: string;
}

/** What is to be known of a teacher before a model is trained by it: teacher-doctor.json. */
export interface TeacherReport {
  listLength: number;
  /** ln(listLength): the entropy of a list of equal scores. */
  highestEntropy: number;
  /** The temperature that training will use; absent where `match` is to choose it and there is no list. */
  teacherTemperature?: number;
  studentTemperature: number;
  /** What `match` chooses, whether it is used or not; absent where there is no list. */
  match?: TemperatureMatch;
  /** By query type. */
  types: Record<string, TypeReport>;
  warnings: TeacherWarning[];
}

import { type DroppedQuery, typeName } from '../candidates/selection.js';
import { breather } from '../event-loop.js';
import { positivesOf } from '../queries/positives.js';
import type { TeacherScores } from '../teachers/teacher.js';
import type { Query, TrainingList } from '../types.js';
import { distribution } from './distribution.js';
import { type EntropyOptions, measureEntropies, type StudentScores } from './entropies.js';
import type { TeacherReport, TypeReport } from './teacher-report.js';
import { warningsOf } from './teacher-warnings.js';

export interface DoctorInput {
  /** The queries that could be searched for. */
  queries: readonly Query[];
  /** Every query that was dropped on the way, of whatever stage. */
  dropped: readonly DroppedQuery[];
  /** The teacher's scores as they came. */
  scores: AsyncIterable<TeacherScores> | Iterable<TeacherScores>;
  train: readonly TrainingList[];
  dev: readonly TrainingList[];
  student: StudentScores;
}

export interface DoctorOptions extends EntropyOptions {
  listLength: number;
}

/**
 * Examines a teacher before a model is trained by it: what became of the queries of each type, how the scores are
 * spread, how often the positive comes first, and how sharp the teacher's distributions are beside the base model's;
 * and warns where lists carry no signal. Of a teacher whose scores left no list all but the last is told.
 */
export async function examineTeacher(input: DoctorInput, options: DoctorOptions): Promise<TeacherReport> {
  const { signal, listLength, studentTemperature, teacherTemperature: wanted } = options;
  const tallies = await tallyScores(input, options);
  const entropies = input.train.length > 0 ? await measureEntropies(input.train, input.student, options) : undefined;
  const types: Record<string, TypeReport> = Object.create(null);
  for (const [type, tally] of [...tallies].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { raw, listed, firsts, reciprocal, ties, ...counts } = tally;
    const share = (count: number) => (counts.scored > 0 ? count / counts.scored : 0);
    types[type] = {
      ...counts,
      ...{ positiveFirst: share(firsts), reciprocalRank: share(reciprocal), tiedTop: share(ties) },
      scores: await distribution(raw, signal),
      normalised: await distribution(listed, signal),
      entropy: entropies?.byType.get(type),
    };
  }
  const highestEntropy = Math.log(listLength);
  const teacherTemperature = entropies?.teacherTemperature ?? (wanted === 'match' ? undefined : wanted);
  const report = { listLength, highestEntropy, teacherTemperature, studentTemperature, match: entropies?.match, types };
  return { ...report, warnings: warningsOf(report, wanted === 'match') };
}

interface Tally extends Pick<TypeReport, 'queries' | 'dropped' | 'lists' | 'scored'> {
  raw: number[];
  listed: number[];
  firsts: number;
  reciprocal: number;
  ties: number;
}

async function tallyScores(
  { queries, dropped, scores, train, dev }: DoctorInput,
  { listLength, signal }: DoctorOptions,
): Promise<Map<string, Tally>> {
  const tallies = new Map<string, Tally>();
  const tallyOf = (query: { type?: string }): Tally => {
    const type = typeName(query);
    const known = tallies.get(type) ?? newTally();
    tallies.set(type, known);
    return known;
  };
  for (const query of dropped) {
    const tally = tallyOf(query);
    tally.dropped[query.filter] = (tally.dropped[query.filter] ?? 0) + 1;
    tally.queries += 1;
  }
  const breathe = breather(signal);
  for (const list of [...train, ...dev]) {
    const tally = tallyOf(list);
    tally.lists += 1;
    tally.queries += 1;
    for (const { score } of list.passages) tally.listed.push(score);
    await breathe();
  }
  const byId = new Map(queries.map((query) => [query.id, query]));
  for await (const { query, passages } of scores) {
    const asked = byId.get(query)!;
    const tally = tallyOf(asked);
    for (const { score } of passages) tally.raw.push(score);
    if (passages.length >= listLength) tallyQuery(tally, passages, new Set(positivesOf(asked)));
    await breathe();
  }
  return tallies;
}

function newTally(): Tally {
  const counts = { queries: 0, dropped: {}, lists: 0, scored: 0 };
  return { ...counts, raw: [], listed: [], firsts: 0, reciprocal: 0, ties: 0 };
}

/** The positive's rank is one more than the number of other candidates that score as high or higher. */
function tallyQuery(tally: Tally, passages: TeacherScores['passages'], positives: ReadonlySet<string>): void {
  tally.scored += 1;
  const best = Math.max(...passages.map(({ score }) => score));
  if (passages.filter(({ score }) => score === best).length > 1) tally.ties += 1;
  const positive = Math.max(...passages.filter(({ id }) => positives.has(id)).map(({ score }) => score));
  if (positive === Number.NEGATIVE_INFINITY) return;
  const rank = 1 + passages.filter(({ id, score }) => !positives.has(id) && score >= positive).length;
  if (rank === 1) tally.firsts += 1;
  tally.reciprocal += 1 / rank;
}

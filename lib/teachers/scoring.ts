import { breather } from '../event-loop.js';
import type { LongWork } from '../types.js';
import type { ScoreJournal } from './journal.js';
import type { Teacher, TeacherRequest, TeacherScores } from './teacher.js';

/** Requests that can be gone through several times, in the same order. */
export type Requests = () => Iterable<TeacherRequest>;

export interface ScoringOptions extends LongWork {
  journal: ScoreJournal;
  /** Pairs in all requests, for the progress. */
  total: number;
}

/** Has a teacher score what its journal does not know yet, and keeps every answer the moment it comes. */
export async function scoreMissing(
  teacher: Teacher,
  requests: Requests,
  { journal, total, signal, onProgress }: ScoringOptions,
): Promise<void> {
  let done = 0;
  const open = new Map<string, { request: TeacherRequest; left: number }>();
  const report = () => {
    const { tokens } = journal.spent;
    const spent = tokens > 0 ? { tokens } : {};
    onProgress?.({ stage: 'teacher', done, total, unit: 'pairs', note: teacher.note, ...spent });
  };
  async function* missing(): AsyncGenerator<TeacherRequest> {
    const breathe = breather(signal);
    for (const request of requests()) {
      const known = await journal.known(request);
      const passages = request.passages.filter(({ id }) => !known.has(id));
      done += request.passages.length - passages.length;
      const pause = breathe();
      if (pause) report();
      await pause;
      if (passages.length === 0) continue;
      open.set(request.query.id, { request, left: passages.length });
      yield { query: request.query, passages };
    }
  }
  for await (const scores of teacher.score(missing(), { signal, spent: journal.spent, onProgress })) {
    const asked = open.get(scores.query)!;
    await journal.append(scores, asked.request);
    const answered = scores.passages.length + (scores.unscored?.length ?? 0);
    asked.left -= answered;
    done += answered;
    if (asked.left <= 0) open.delete(scores.query);
    report();
  }
  report();
}

/** The scores that a journal has of requests, in their order; passages without a score are left out. */
export async function* journalScores(
  journal: ScoreJournal,
  requests: Requests,
  { signal }: Pick<LongWork, 'signal'> = {},
): AsyncGenerator<TeacherScores> {
  const breathe = breather(signal);
  for (const request of requests()) {
    const known = await journal.known(request);
    const passages = request.passages.flatMap(({ id }) => {
      const score = known.get(id);
      return typeof score === 'number' ? [{ id, score }] : [];
    });
    yield { query: request.query.id, passages };
    await breathe();
  }
}

import { DataError, describe } from '../errors.js';
import { breather } from '../event-loop.js';
import { readJsonl, requireId, requireNumber } from '../formats/jsonl.js';
import { readTrecRun } from '../formats/trec.js';
import type { LongWork } from '../types.js';
import type { Teacher, TeacherRequest, TeacherScores } from './teacher.js';

/** Query id → passage id → score. */
type Scores = Map<string, Map<string, number>>;

/**
 * Scores that something else computed, from a file: JSON Lines of `{"query", "passage", "score"}` (a name ending in
 * .jsonl), or a TREC run. Candidates without a score in the file are left out.
 */
export class FileTeacher implements Teacher {
  readonly name: string;
  readonly isAtHand = true;
  readonly #file: string;
  readonly #scores: Scores;

  private constructor(file: string, scores: Scores) {
    this.name = `file ${file}`;
    this.#file = file;
    this.#scores = scores;
  }

  /**
   * @throws NotFoundError if the file is not there
   * @throws DataError naming the line for anything that is no score, a pair that comes twice, or a file without scores
   */
  static async load(file: string, { signal }: Pick<LongWork, 'signal'> = {}): Promise<FileTeacher> {
    return new FileTeacher(
      file,
      file.endsWith('.jsonl') ? await readScores(file, signal) : await readRun(file, signal),
    );
  }

  /** @throws DataError if the file has not one score for all the candidates of all queries */
  async *score(
    requests: Iterable<TeacherRequest> | AsyncIterable<TeacherRequest>,
    { signal }: LongWork = {},
  ): AsyncGenerator<TeacherScores> {
    const breathe = breather(signal);
    let asked: TeacherRequest | undefined;
    let found = 0;
    for await (const request of requests) {
      asked ??= request;
      const scores = this.#scores.get(request.query.id);
      const passages = request.passages.flatMap(({ id }) => {
        const score = scores?.get(id);
        return score === undefined ? [] : [{ id, score }];
      });
      found += passages.length;
      yield { query: request.query.id, passages };
      await breathe();
    }
    if (asked && found === 0) {
      const problem =
        `Expected scores of the candidates but found none of any; query ids here are like ${describe(asked.query.id)}, ` +
        `passage ids like ${describe(asked.passages[0]?.id)}. Check that the file uses the ids of the run's fused candidates.`;
      throw new DataError({ file: this.#file }, problem);
    }
  }
}

async function readScores(file: string, signal?: AbortSignal): Promise<Scores> {
  const scores: Scores = new Map();
  for await (const { value, line } of readJsonl(file, { signal, expected: 'a JSON Lines file of teacher scores' })) {
    const place = { file, line };
    const query = requireId(value, 'query', place);
    const passage = requireId(value, 'passage', place);
    const ofQuery = scores.get(query) ?? new Map<string, number>();
    if (ofQuery.has(passage)) {
      const problem = `Expected one score a pair but query ${describe(query)} and passage ${describe(passage)} had one before.`;
      throw new DataError(place, problem);
    }
    scores.set(query, ofQuery.set(passage, requireNumber(value, 'score', place)));
  }
  if (scores.size === 0) {
    throw new DataError({ file }, 'Expected teacher scores, {"query", "passage", "score"} a line, but found none.');
  }
  return scores;
}

async function readRun(file: string, signal?: AbortSignal): Promise<Scores> {
  const run = await readTrecRun(file, { signal, expected: 'teacher scores as a TREC run or a .jsonl file' });
  return new Map(Array.from(run, ([query, ranking]) => [query, new Map(ranking.map(({ id, score }) => [id, score]))]));
}

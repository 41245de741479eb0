import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DataError, describe } from '../errors.js';
import { breather } from '../event-loop.js';
import { requireArray, requireId, requireString } from '../formats/jsonl.js';
import { readLines } from '../formats/lines.js';
import { makeDirectory, writing } from '../formats/writing.js';
import type { LongWork } from '../types.js';
import type { Spent, TeacherPassage, TeacherRequest, TeacherScores } from './teacher.js';

interface JournalLine {
  query: string;
  /** Of the query's text. */
  digest: string;
  passages: { id: string; score: number | null; digest: string }[];
  tokens?: number;
}

/** Where a line stands in the file, in bytes. */
interface Span {
  start: number;
  length: number;
}

const NEWLINE = 0x0a;
const TAIL_BYTES = 1 << 16;

/**
 * Everything that a teacher has answered, written line by line the moment it comes, so that a process which is killed
 * asks nothing twice. The first line names the teacher. Each score carries digests of the texts that it is of, so that
 * it counts again only for the same texts, whatever ids, options or other queries have changed since. In memory are the
 * places of lines only.
 */
export class ScoreJournal {
  readonly #file: string;
  readonly #handle: FileHandle;
  readonly #spans = new Map<string, Span[]>();
  readonly #spent: Spent = { requests: 0, pairs: 0, tokens: 0 };
  #end = 0;

  private constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  /**
   * Opens the file, or begins it. A last line that was not finished is cut off.
   * @param teacher the teacher's name and whatever else decides its scores; a file of another is refused
   * @throws DataError if the file is another teacher's, or naming a line that is not as it was written
   */
  static async open(file: string, teacher: string, { signal }: Pick<LongWork, 'signal'> = {}): Promise<ScoreJournal> {
    await makeDirectory(dirname(file));
    const handle = await writing(file, () => open(file, 'a+'));
    try {
      const journal = new ScoreJournal(file, handle);
      await cutUnfinished(handle);
      await journal.#load(teacher, signal);
      return journal;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** What was answered so far, by this process and those before. */
  get spent(): Spent {
    return { ...this.#spent };
  }

  /** Writes an answer. @param request the request that it answers, at least its texts */
  async append({ query, passages, unscored = [], tokens }: TeacherScores, request: TeacherRequest): Promise<void> {
    const texts = new Map(request.passages.map(({ id, text }) => [id, text]));
    const scored = [...passages, ...unscored.map((id) => ({ id, score: null }))];
    const line: JournalLine = {
      query,
      digest: digestOf(request.query.text),
      passages: scored.map(({ id, score }) => ({ id, score, digest: digestOf(texts.get(id)!) })),
      ...(tokens !== undefined && { tokens }),
    };
    await this.#write(line);
    this.#count(line);
  }

  /** Scores of a request's passages as far as they are known of these very texts; null where there can be none. */
  async known({ query, passages }: TeacherRequest): Promise<Map<string, number | null>> {
    const scores = new Map<string, number | null>();
    const spans = this.#spans.get(query.id);
    if (!spans) return scores;
    const texts = new Map(passages.map((passage) => [passage.id, passage]));
    const digest = digestOf(query.text);
    for (const span of spans) {
      const line = await this.#read(span);
      if (line.digest !== digest) continue;
      for (const { id, score, digest: of } of line.passages) {
        const passage = texts.get(id);
        if (passage && of === digestOf(passage.text)) scores.set(id, score);
      }
    }
    return scores;
  }

  async close(): Promise<void> {
    await writing(this.#file, () => this.#handle.sync());
    await this.#handle.close();
  }

  async #write(line: JournalLine | { teacher: string }): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    const start = this.#end;
    // Set before the write is waited for: answers come while another is being written.
    this.#end += bytes.length;
    await writing(this.#file, () => this.#handle.appendFile(bytes));
    if ('query' in line) this.#place(line.query, { start, length: bytes.length });
  }

  #place(query: string, span: Span): void {
    const spans = this.#spans.get(query);
    if (spans) spans.push(span);
    else this.#spans.set(query, [span]);
  }

  #count({ passages, tokens = 0 }: JournalLine): void {
    this.#spent.requests += 1;
    this.#spent.pairs += passages.length;
    this.#spent.tokens += tokens;
  }

  async #read({ start, length }: Span): Promise<JournalLine> {
    const buffer = Buffer.allocUnsafe(length);
    await this.#handle.read(buffer, 0, length, start);
    return JSON.parse(buffer.toString()) as JournalLine;
  }

  async #load(teacher: string, signal?: AbortSignal): Promise<void> {
    const { size } = await this.#handle.stat();
    if (size === 0) return this.#write({ teacher });
    const breathe = breather(signal);
    for await (const { text, line } of readLines(this.#file, { signal })) {
      const place = { file: this.#file, line };
      const value = parseLine(text, place);
      // Lines are as #write makes them, so the text is all of the line but its newline.
      const length = Buffer.byteLength(text) + 1;
      if (line === 1) this.#checkTeacher(requireString(value, 'teacher', place), teacher);
      else {
        requireArray(value, 'passages', place);
        this.#place(requireId(value, 'query', place), { start: this.#end, length });
        this.#count(value as unknown as JournalLine);
      }
      this.#end += length;
      await breathe();
    }
  }

  #checkTeacher(found: string, teacher: string): void {
    if (found === teacher) return;
    const problem = `Expected the scores of teacher ${describe(teacher)} but they are of ${describe(found)}; move the file away.`;
    throw new DataError({ file: this.#file, line: 1, field: 'teacher' }, problem);
  }
}

/** One line, checked as far as its reading later depends on it. */
function parseLine(text: string, place: { file: string; line: number }): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new DataError(place, 'Expected a line as listwise wrote it, a JSON object; move the file away to begin anew.');
}

/** Cuts off what comes after the last newline: a process was killed while it wrote. */
async function cutUnfinished(handle: FileHandle): Promise<void> {
  const { size } = await handle.stat();
  const buffer = Buffer.alloc(TAIL_BYTES);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - TAIL_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, end - start, start);
    const last = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (last >= 0) return handle.truncate(start + last + 1);
    end = start;
  }
  await handle.truncate(0);
}

function digestOf(text: TeacherPassage['text']): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

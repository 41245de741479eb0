import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DataError } from '../errors.js';
import { type JsonLine, optionalString, readJsonl, requireId, requireNumber, requireString } from '../formats/jsonl.js';
import { makeDirectory, writing } from '../formats/writing.js';
import type { ReplyText } from './reply-check.js';
import { requestKey } from './request.js';

/** Tokens that one or more requests used. */
export interface TokenUse {
  prompt: number;
  completion: number;
}

/** A reply as it is kept: what was asked, and what came. */
export interface StoredReply extends ReplyText {
  passage: string;
  type: string;
  place: number;
  /** The request's hash. */
  prompt: string;
  /** From 0. */
  attempt: number;
  /** The model that was asked. */
  asked: string;
  /** The model that the server says has answered. */
  model: string;
  tokens: TokenUse;
}

/**
 * Replies of language models, one JSON object a line, appended the moment they come. Replies cost money, so nothing
 * ever takes one out: which of them count is decided by the hash of what is asked now.
 */
export class ReplyJournal implements AsyncDisposable {
  readonly #file: string;
  readonly #handle: FileHandle | undefined;
  readonly #replies = new Map<string, StoredReply[]>();
  #count = 0;
  #writes: Promise<void> = Promise.resolve();
  #unsynced = 0;

  private constructor(file: string, handle?: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  /**
   * Opens the file and reads what is there. A last line that a killed process left half-written is taken away.
   * @throws DataError naming the line of what is no reply; WriteError if the file system refuses
   */
  static async open(file: string, signal?: AbortSignal): Promise<ReplyJournal> {
    await makeDirectory(dirname(file));
    const handle = await writing(file, () => open(file, 'a+'));
    try {
      const { end, size } = await lastLine(handle);
      if (end < size) await writing(file, () => handle.truncate(end));
      const journal = new ReplyJournal(file, handle);
      for await (const line of readJsonl(file, { signal, expected: 'a journal of replies' })) {
        journal.#keep(parseReply(line, file));
      }
      return journal;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * Reads the file, or nothing where there is none, without a hand on it: another process may be appending to it.
   * @throws DataError naming the line of what is no reply
   */
  static async read(file: string, signal?: AbortSignal): Promise<ReplyJournal> {
    const journal = new ReplyJournal(file);
    const handle = await open(file, 'r').catch(() => undefined);
    if (!handle) return journal;
    const { end, size } = await lastLine(handle).finally(() => handle.close());
    try {
      for await (const line of readJsonl(file, { signal })) journal.#keep(parseReply(line, file));
    } catch (error) {
      const isHalf = error instanceof DataError && error.line === journal.size + 1 && end < size;
      if (!isHalf) throw error;
    }
    return journal;
  }

  /** How many replies there are, those to other prompts included. */
  get size(): number {
    return this.#count;
  }

  /** All replies, in the order in which they came for each query. */
  *[Symbol.iterator](): Generator<StoredReply> {
    for (const replies of this.#replies.values()) yield* replies;
  }

  /** The replies to what is asked now, by attempt. */
  repliesTo(request: { passage: { id: string }; type: string; place: number; hash: string }): StoredReply[] {
    const { passage, type, place, hash } = request;
    const all = this.#replies.get(requestKey({ passage: passage.id, type, place })) ?? [];
    return all.filter(({ prompt }) => prompt === hash).sort((a, b) => a.attempt - b.attempt);
  }

  /** Appends a reply; when the promise resolves, the operating system has it. @throws WriteError */
  async append(reply: StoredReply): Promise<void> {
    const handle = this.#handle!;
    this.#keep(reply);
    // One write a line: an append is whole or, if the process dies in it, the last.
    const line = Buffer.from(`${JSON.stringify(reply)}\n`);
    const write = this.#writes.then(() => writing(this.#file, () => appendWhole(handle, line)));
    this.#writes = write.catch(() => {});
    await write;
    this.#unsynced += 1;
    if (this.#unsynced < 100) return;
    this.#unsynced = 0;
    await writing(this.#file, () => handle.datasync());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writes;
    await this.#handle?.datasync().catch(() => {});
    await this.#handle?.close();
  }

  #keep(reply: StoredReply): void {
    const key = requestKey(reply);
    const earlier = this.#replies.get(key);
    if (earlier) earlier.push(reply);
    else this.#replies.set(key, [reply]);
    this.#count += 1;
  }
}

async function appendWhole(handle: FileHandle, bytes: Buffer): Promise<void> {
  const { size } = await handle.stat();
  try {
    await handle.appendFile(bytes);
  } catch (error) {
    // A full disk may have taken a part of the line; what follows must not be glued to it.
    await handle.truncate(size).catch(() => {});
    throw error;
  }
}

/** Where the last whole line ends, in bytes from the start. */
async function lastLine(handle: FileHandle): Promise<{ end: number; size: number }> {
  const { size } = await handle.stat();
  const block = Buffer.alloc(1 << 16);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - block.length);
    const { bytesRead } = await handle.read(block, 0, end - start, start);
    const newline = block.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (newline >= 0) return { end: start + newline + 1, size };
    end = start;
  }
  return { end: 0, size };
}

function parseReply({ value, line }: JsonLine, file: string): StoredReply {
  const place = { file, line };
  const tokens = value.tokens as Partial<TokenUse> | undefined;
  if (typeof tokens?.prompt !== 'number' || typeof tokens.completion !== 'number') {
    throw new DataError(
      { ...place, field: 'tokens' },
      'Expected {"prompt", "completion"} as numbers; was the file edited?',
    );
  }
  return {
    passage: requireId(value, 'passage', place),
    type: requireString(value, 'type', place),
    place: requireNumber(value, 'place', place),
    prompt: requireString(value, 'prompt', place),
    attempt: requireNumber(value, 'attempt', place),
    asked: requireString(value, 'asked', place),
    model: requireString(value, 'model', place),
    text: requireString(value, 'text', place),
    finish: optionalString(value, 'finish', place),
    tokens: { prompt: tokens.prompt, completion: tokens.completion },
  };
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { breather } from '../event-loop.js';
import type { PackedTexts } from '../native.js';

/** Token ids in one piece of a builder: taking one over costs a fraction of a millisecond. */
const PIECE = 1 << 18;

/** Collects token ids of texts, one text after the other. They are kept in pieces, so that adding never copies much. */
export class PackedTextsBuilder {
  readonly #full: Int32Array[] = [];
  #piece: Int32Array = new Int32Array(1 << 12);
  #used = 0;
  #offsets: number[] = [0];

  get count(): number {
    return this.#offsets.length - 1;
  }

  get tokens(): number {
    return this.#offsets[this.count]!;
  }

  add(ids: ArrayLike<number>): void {
    if (this.#used + ids.length > this.#piece.length) this.#nextPiece(ids.length);
    this.#piece.set(ids, this.#used);
    this.#used += ids.length;
    this.#offsets.push(this.tokens + ids.length);
  }

  #nextPiece(least: number): void {
    if (this.#used > 0) this.#full.push(this.#piece.subarray(0, this.#used));
    this.#piece = new Int32Array(Math.max(least, Math.min(PIECE, this.#piece.length * 2)));
    this.#used = 0;
  }

  /** All texts in one, put together without holding up the event loop. The builder is empty afterwards. */
  async finish(signal?: AbortSignal): Promise<PackedTexts> {
    const breathe = breather(signal);
    const texts = { ids: new Int32Array(this.tokens), offsets: new Int32Array(this.#offsets) };
    const pieces = [...this.#full.splice(0), this.#piece.subarray(0, this.#used)];
    this.#piece = new Int32Array(1);
    this.#used = 0;
    this.#offsets = [0];
    let start = 0;
    for (const piece of pieces) {
      texts.ids.set(piece, start);
      start += piece.length;
      await breathe();
    }
    return texts;
  }
}

/** How many texts there are. */
export function textCount(texts: PackedTexts): number {
  return texts.offsets.length - 1;
}

/** How many tokens text `row` has. */
export function tokenCount(texts: PackedTexts, row: number): number {
  return texts.offsets[row + 1]! - texts.offsets[row]!;
}

/** The tokens of text `row`, a view. */
export function textAt(texts: PackedTexts, row: number): Int32Array {
  return texts.ids.subarray(texts.offsets[row]!, texts.offsets[row + 1]!);
}

/** Rows of similar length, shortest first, in groups of so many tokens or one longer text. */
export function* rowsByLength(texts: PackedTexts, groupTokens: number): Generator<Int32Array> {
  const rows = Int32Array.from({ length: textCount(texts) }, (_, row) => row);
  rows.sort((a, b) => tokenCount(texts, a) - tokenCount(texts, b) || a - b);
  let start = 0;
  let tokens = 0;
  for (let i = 0; i < rows.length; i++) {
    const count = tokenCount(texts, rows[i]!);
    if (i > start && tokens + count > groupTokens) {
      yield rows.subarray(start, i);
      start = i;
      tokens = 0;
    }
    tokens += count;
  }
  if (rows.length > start) yield rows.subarray(start);
}

/** The texts of these rows, in the order given, packed anew. For the texts of one native call: it does not pause. */
export function gatherTexts(texts: PackedTexts, rows: ArrayLike<number>): PackedTexts {
  const gathered = room(texts, rows);
  for (let i = 0; i < rows.length; i++) copyText(texts, rows[i]!, { to: gathered, place: i });
  return gathered;
}

/** The same for any number of texts, without holding up the event loop. @throws `signal.reason` when aborted */
export async function gatherManyTexts(
  texts: PackedTexts,
  rows: ArrayLike<number>,
  signal?: AbortSignal,
): Promise<PackedTexts> {
  // Making room for a large batch takes a while by itself.
  await nextTurn();
  signal?.throwIfAborted();
  const breathe = breather(signal);
  const gathered = room(texts, rows);
  for (let i = 0; i < rows.length; i++) {
    copyText(texts, rows[i]!, { to: gathered, place: i });
    if (i % 64 === 63) await breathe();
  }
  return gathered;
}

function room(texts: PackedTexts, rows: ArrayLike<number>): PackedTexts {
  const offsets = new Int32Array(rows.length + 1);
  for (let i = 0; i < rows.length; i++) offsets[i + 1] = offsets[i]! + tokenCount(texts, rows[i]!);
  const { secondStarts } = texts;
  const second = secondStarts && { secondStarts: Int32Array.from(rows, (row) => secondStarts[row]!) };
  return { ids: new Int32Array(offsets[rows.length]!), offsets, ...second };
}

function copyText(texts: PackedTexts, row: number, { to, place }: { to: PackedTexts; place: number }): void {
  to.ids.set(textAt(texts, row), to.offsets[place]!);
}

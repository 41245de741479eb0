import type { PackedTexts } from '../native.js';

/** Collects token ids of texts, one text after the other, in a buffer that doubles when it is full. */
export class PackedTextsBuilder {
  #ids: Int32Array;
  #offsets: number[] = [0];
  #length = 0;

  constructor(expectedTokens = 1 << 12) {
    this.#ids = new Int32Array(Math.max(1, expectedTokens));
  }

  get count(): number {
    return this.#offsets.length - 1;
  }

  get tokens(): number {
    return this.#length;
  }

  add(ids: ArrayLike<number>): void {
    const end = this.#length + ids.length;
    if (end > this.#ids.length) {
      const grown = new Int32Array(Math.max(end, this.#ids.length * 2));
      grown.set(this.#ids.subarray(0, this.#length));
      this.#ids = grown;
    }
    this.#ids.set(ids, this.#length);
    this.#length = end;
    this.#offsets.push(end);
  }

  finish(): PackedTexts {
    return { ids: this.#ids.slice(0, this.#length), offsets: Int32Array.from(this.#offsets) };
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

/** The texts of these rows, in the order given, packed anew. */
export function gatherTexts(texts: PackedTexts, rows: ArrayLike<number>): PackedTexts {
  const offsets = new Int32Array(rows.length + 1);
  for (let i = 0; i < rows.length; i++) offsets[i + 1] = offsets[i]! + tokenCount(texts, rows[i]!);
  const ids = new Int32Array(offsets[rows.length]!);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    ids.set(texts.ids.subarray(texts.offsets[row]!, texts.offsets[row + 1]!), offsets[i]!);
  }
  return { ids, offsets };
}

import { createHash } from 'node:crypto';
import { passageText } from '../corpus/passage.js';
import { describe } from '../errors.js';
import type { ListPassage } from '../types.js';
import { badList, type PassageLookup } from './list-source.js';

/**
 * Gives each distinct passage that lists name a row, in the order in which they come, and its text at its first.
 * Passages of a corpus with rows cost 4 bytes each of the corpus; others an entry by their id.
 */
export class PassageRows {
  readonly #corpus: PassageLookup | undefined;
  readonly #ofCorpus: Int32Array;
  readonly #byId = new Map<string, number>();
  /** 48 bits of each text's hash: one id must have one text. */
  readonly #hashes: number[] = [];
  /** Rows whose text came from a list, though the corpus has the id too: only these can contradict it. */
  readonly #ownText = new Set<number>();

  constructor(corpus: PassageLookup | undefined) {
    this.#corpus = corpus;
    this.#ofCorpus = new Int32Array(corpus?.row ? corpus.size! : 0).fill(-1);
  }

  get count(): number {
    return this.#hashes.length;
  }

  /**
   * @param list the id of the query's list, for messages
   * @returns the passage's row, with its text as a model reads it if the row is new
   * @throws ListwiseError BAD_DATA for a passage without a text, or with another than before
   */
  take(passage: ListPassage, list: string): { row: number; text?: string } {
    const place = this.#corpus?.row?.(passage.id);
    const known = place === undefined ? this.#byId.get(passage.id) : this.#ofCorpus[place]!;
    const isKnown = known !== undefined && known >= 0;
    if (isKnown && passage.text === undefined && !this.#ownText.has(known)) return { row: known };
    const text = this.#text(passage, list);
    const hash = hash48(text);
    if (isKnown) {
      if (this.#hashes[known] === hash) return { row: known };
      throw badList(
        list,
        `gives passage ${describe(passage.id)} another text than an earlier list; one id is one text.`,
      );
    }
    const row = this.#hashes.push(hash) - 1;
    if (place === undefined) this.#byId.set(passage.id, row);
    else this.#ofCorpus[place] = row;
    if (passage.text !== undefined) this.#ownText.add(row);
    return { row, text };
  }

  #text({ id, text }: ListPassage, list: string): string {
    if (text !== undefined) return passageText({ title: '', text });
    const passage = this.#corpus?.get(id);
    if (passage) return passageText(passage);
    throw badList(
      list,
      this.#corpus
        ? `names passage ${describe(id)}, which is not in the corpus; check that the lists belong to this corpus.`
        : `names passage ${describe(id)} without its text, and no corpus was given to look it up in; give one of the two.`,
    );
  }
}

function hash48(text: string): number {
  return createHash('sha256').update(text).digest().readUIntBE(0, 6);
}

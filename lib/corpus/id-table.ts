import { hash32 } from '../random.js';

const SMALLEST = 1 << 10;
/** Slots moved between two turns of the event loop when the table grows. */
const MOVED = 1 << 16;

/** The id in a row. */
export type IdOf = (row: number) => string;

/**
 * Rows by id without the ids: an open-addressing hash table of 32-bit hashes and rows, 8 bytes a slot, at most 5/8 full.
 * A `Map` of ten million ids takes more than a gigabyte of the JavaScript heap, this 134 MB beside it. The ids stay
 * where they are and are asked for through `IdOf` where hashes agree.
 */
export class IdTable {
  /** Of each slot the hash, then the row plus one; 0 is an empty slot. */
  #slots: Uint32Array;
  #size = 0;

  private constructor(slots: Uint32Array, size: number) {
    this.#slots = slots;
    this.#size = size;
  }

  static empty(): IdTable {
    return new IdTable(new Uint32Array(2 * SMALLEST), 0);
  }

  /** A table that was kept: its `slots`. */
  static from(slots: Uint32Array, size: number): IdTable {
    return new IdTable(slots, size);
  }

  get slots(): Uint32Array {
    return this.#slots;
  }

  get size(): number {
    return this.#size;
  }

  /** The row of an id, or -1. */
  find(id: string, idOf: IdOf): number {
    const slot = this.#slotOf(id, hash32(id) >>> 0, idOf);
    return this.#slots[2 * slot + 1]! - 1;
  }

  /** Adds an id that takes `row`. @returns -1, or the row that has the id already, which then keeps it */
  add(id: string, row: number, idOf: IdOf): number {
    const hash = hash32(id) >>> 0;
    const slot = this.#slotOf(id, hash, idOf);
    const there = this.#slots[2 * slot + 1]! - 1;
    if (there >= 0) return there;
    this.#slots[2 * slot] = hash;
    this.#slots[2 * slot + 1] = row + 1;
    this.#size += 1;
    return -1;
  }

  /** To be awaited before `add`, if it returns anything: makes room, with turns of the event loop on the way. */
  reserve(breathe: () => Promise<void> | undefined): Promise<void> | undefined {
    const capacity = this.#slots.length / 2;
    return this.#size < capacity * 0.625 ? undefined : this.#grow(breathe);
  }

  async #grow(breathe: () => Promise<void> | undefined): Promise<void> {
    const old = this.#slots;
    const slots = new Uint32Array(old.length * 2);
    const mask = slots.length / 2 - 1;
    for (let i = 0; i < old.length; i += 2) {
      if (old[i + 1] !== 0) {
        let slot = old[i]! & mask;
        while (slots[2 * slot + 1] !== 0) slot = (slot + 1) & mask;
        slots[2 * slot] = old[i]!;
        slots[2 * slot + 1] = old[i + 1]!;
      }
      if (i % MOVED === 0) await breathe();
    }
    this.#slots = slots;
  }

  /** The slot that has the id, or the empty one where it would go. */
  #slotOf(id: string, hash: number, idOf: IdOf): number {
    const mask = this.#slots.length / 2 - 1;
    let slot = hash & mask;
    for (; this.#slots[2 * slot + 1] !== 0; slot = (slot + 1) & mask) {
      if (this.#slots[2 * slot] === hash && idOf(this.#slots[2 * slot + 1]! - 1) === id) return slot;
    }
    return slot;
  }
}

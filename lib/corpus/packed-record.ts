import type { Passage } from '../types.js';

/** Files of a packed corpus. */
export const FILES = {
  /** One record a passage: bytes of id and title as two little-endian 32-bit numbers, then id, title and text. */
  passages: 'passages.bin',
  /** Where each record starts, and the end: little-endian doubles. */
  offsets: 'offsets.f64',
  /** The table of ids: see `IdTable`. */
  ids: 'ids.u32',
  /** Written last: a directory without it is no corpus. */
  record: 'corpus.json',
} as const;

export const FORMAT = 1;
export const HEADER_BYTES = 8;

/** The most bytes that a passage's record may take, and no more than three times those it does. */
export function recordBytes({ id, title, text }: Passage): number {
  return HEADER_BYTES + 3 * (id.length + title.length + text.length);
}

/** @returns bytes written */
export function encodePassage({ id, title, text }: Passage, into: Buffer, at: number): number {
  const idBytes = into.write(id, at + HEADER_BYTES);
  const titleBytes = into.write(title, at + HEADER_BYTES + idBytes);
  const textBytes = into.write(text, at + HEADER_BYTES + idBytes + titleBytes);
  into.writeUInt32LE(idBytes, at);
  into.writeUInt32LE(titleBytes, at + 4);
  return HEADER_BYTES + idBytes + titleBytes + textBytes;
}

export function decodeId(from: Buffer, at: number): string {
  const start = at + HEADER_BYTES;
  return from.toString('utf8', start, start + from.readUInt32LE(at));
}

export function decodePassage(from: Buffer, at: number, end: number): Passage {
  const id = at + HEADER_BYTES;
  const title = id + from.readUInt32LE(at);
  const text = title + from.readUInt32LE(at + 4);
  return {
    id: from.toString('utf8', id, title),
    title: from.toString('utf8', title, text),
    text: from.toString('utf8', text, end),
  };
}

import { type FileHandle, open } from 'node:fs/promises';
import { DataError, NotFoundError } from '../errors.js';
import { replaceFile } from '../formats/atomic.js';
import { writing } from '../formats/writing.js';
import type { Rows } from '../search.js';

/**
 * Matrices in NumPy's .npy format, version 1.0 (little-endian, row-major), so that `numpy.load` and `numpy.memmap` read
 * them. NumPy has no bf16: such numbers are their 16 bits as '<u2', `(a.astype('u4') << 16).view('f4')` in NumPy.
 */
const MAGIC = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
const SLICE_BYTES = 1 << 24;

/** How numbers of embeddings are kept: in 4 bytes, or in the upper two of these. */
export type NumberType = 'fp32' | 'bf16';

const DESCRIPTIONS: Readonly<Record<NumberType, string>> = { fp32: '<f4', bf16: '<u2' };

export interface Matrix {
  rows: number;
  columns: number;
  values: Float32Array;
}

/** Where the numbers of an .npy file are. */
export interface NpyLayout {
  rows: number;
  columns: number;
  type: NumberType;
  /** Bytes before the first number. */
  offset: number;
}

/** Bytes of a number. */
export function numberBytes(type: NumberType): number {
  return type === 'fp32' ? 4 : 2;
}

/** Writes a matrix, beside first and then renamed, so that the file is whole or as before. @throws WriteError */
export async function writeNpy(
  file: string,
  { rows, columns, values }: Matrix,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  await replaceFile(file, (handle) =>
    writing(file, async () => {
      await handle.writeFile(npyHeader({ rows, columns, type: 'fp32' }));
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
        signal?.throwIfAborted();
        await handle.writeFile(bytes.subarray(start, start + SLICE_BYTES));
      }
    }),
  );
}

/** What stands before the numbers; its length is the layout's `offset`. */
export function npyHeader({ rows, columns, type }: Omit<NpyLayout, 'offset'>): Buffer {
  const fields = `{'descr': '${DESCRIPTIONS[type]}', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  // The format wants the numbers to start at a multiple of 64 bytes.
  const padding = 63 - ((MAGIC.length + 2 + fields.length) % 64);
  const text = `${fields}${' '.repeat(padding)}\n`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(text.length);
  return Buffer.concat([MAGIC, length, Buffer.from(text, 'latin1')]);
}

/** Opens an .npy file and reads its header. @throws NotFoundError, DataError as readNpy */
export async function openNpy(file: string): Promise<{ handle: FileHandle; layout: NpyLayout }> {
  const handle = await open(file, 'r').catch((error: unknown) => {
    throw new NotFoundError(`Expected a .npy file at ${file} but it cannot be opened.`, { cause: error });
  });
  try {
    const start = Buffer.alloc(MAGIC.length + 2);
    await handle.read(start, 0, start.length, 0);
    if (!start.subarray(0, MAGIC.length).equals(MAGIC)) {
      throw new DataError({ file }, 'Expected a .npy file of format 1.0 but the first bytes are others.');
    }
    const text = Buffer.alloc(start.readUInt16LE(MAGIC.length));
    await handle.read(text, 0, text.length, start.length);
    return { handle, layout: { ...shape(text.toString('latin1'), file), offset: start.length + text.length } };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Reads a matrix that `writeNpy` or NumPy wrote; bf16 numbers are widened.
 * @throws NotFoundError if the file is not there
 * @throws DataError if it is no two-dimensional matrix of fp32 or bf16 in row-major order, or not as long as its header
 *   says
 */
export async function readNpy(file: string, { signal }: { signal?: AbortSignal } = {}): Promise<Matrix> {
  const { handle, layout } = await openNpy(file);
  try {
    const { rows, columns } = layout;
    return { rows, columns, values: widened(await readRows(handle, { file, layout, first: 0, count: rows, signal })) };
  } finally {
    await handle.close();
  }
}

interface RowsPlace {
  file: string;
  layout: NpyLayout;
  first: number;
  count: number;
  signal?: AbortSignal | undefined;
}

/** Some rows of an open file. @throws DataError if the file ends before them */
export async function readRows(handle: FileHandle, { file, layout, first, count, signal }: RowsPlace): Promise<Rows> {
  const { rows, columns, type, offset } = layout;
  const bytes = new Uint8Array(count * columns * numberBytes(type));
  const start = first * columns * numberBytes(type);
  for (let at = 0; at < bytes.length; ) {
    signal?.throwIfAborted();
    const slice = Math.min(SLICE_BYTES, bytes.length - at);
    const { bytesRead } = await handle.read(bytes, at, slice, offset + start + at);
    if (bytesRead === 0) {
      const problem = `Expected ${rows} × ${columns} numbers but the file ends after ${start + at} bytes of them.`;
      throw new DataError({ file }, problem);
    }
    at += bytesRead;
  }
  return type === 'fp32' ? new Float32Array(bytes.buffer) : new Uint16Array(bytes.buffer);
}

/** In fp32. */
export function widened(rows: Rows): Float32Array {
  if (rows instanceof Float32Array) return rows;
  const bits = new Uint32Array(rows.length);
  for (let i = 0; i < rows.length; i++) bits[i] = rows[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** The nearest bf16 numbers; those halfway to the even one, as processors and PyTorch round. */
export function narrowed(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const rounded = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const number = bits[i]!;
    // A NaN must not become an infinity.
    rounded[i] = Number.isNaN(values[i]) ? 0x7fc0 : (number + 0x7fff + ((number >>> 16) & 1)) >>> 16;
  }
  return rounded;
}

function shape(header: string, file: string): Omit<NpyLayout, 'offset'> {
  const match = /'shape':\s*\((\d+),\s*(\d+)\)/.exec(header);
  const type = (['fp32', 'bf16'] as const).find((candidate) => header.includes(`'${DESCRIPTIONS[candidate]}'`));
  if (!match || !type || !/'fortran_order':\s*False/.test(header)) {
    throw new DataError(
      { file },
      `Expected a two-dimensional matrix of '<f4' in row-major order but found ${header.trim()}.`,
    );
  }
  return { rows: Number(match[1]), columns: Number(match[2]), type };
}

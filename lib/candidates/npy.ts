import { open } from 'node:fs/promises';
import { DataError, NotFoundError } from '../errors.js';
import { replaceFile } from '../formats/atomic.js';
import { writing } from '../formats/writing.js';

/**
 * Matrices of fp32 numbers in NumPy's .npy format, version 1.0 (little-endian, row-major), so that `numpy.load` and
 * `numpy.memmap` read them.
 */
const MAGIC = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
const SLICE_BYTES = 1 << 24;

export interface Matrix {
  rows: number;
  columns: number;
  values: Float32Array;
}

/** Writes a matrix, beside first and then renamed, so that the file is whole or as before. @throws WriteError */
export async function writeNpy(
  file: string,
  { rows, columns, values }: Matrix,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  await replaceFile(file, (handle) =>
    writing(file, async () => {
      await handle.writeFile(header(rows, columns));
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
        signal?.throwIfAborted();
        await handle.writeFile(bytes.subarray(start, start + SLICE_BYTES));
      }
    }),
  );
}

function header(rows: number, columns: number): Buffer {
  const fields = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  // The format wants the numbers to start at a multiple of 64 bytes.
  const padding = 63 - ((MAGIC.length + 2 + fields.length) % 64);
  const text = `${fields}${' '.repeat(padding)}\n`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(text.length);
  return Buffer.concat([MAGIC, length, Buffer.from(text, 'latin1')]);
}

/**
 * Reads a matrix that `writeNpy` or NumPy wrote.
 * @throws NotFoundError if the file is not there
 * @throws DataError if it is no two-dimensional fp32 matrix in row-major order, or not as long as its header says
 */
export async function readNpy(file: string, { signal }: { signal?: AbortSignal } = {}): Promise<Matrix> {
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
    const { rows, columns } = shape(text.toString('latin1'), file);
    const bytes = new Uint8Array(rows * columns * 4);
    const offset = start.length + text.length;
    for (let at = 0; at < bytes.length; ) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(bytes, at, Math.min(SLICE_BYTES, bytes.length - at), offset + at);
      if (bytesRead === 0) {
        throw new DataError(
          { file },
          `Expected ${rows} × ${columns} numbers but the file ends after ${at} bytes of them.`,
        );
      }
      at += bytesRead;
    }
    return { rows, columns, values: new Float32Array(bytes.buffer) };
  } finally {
    await handle.close();
  }
}

function shape(header: string, file: string): { rows: number; columns: number } {
  const match = /'shape':\s*\((\d+),\s*(\d+)\)/.exec(header);
  if (!match || !header.includes("'<f4'") || !/'fortran_order':\s*False/.test(header)) {
    throw new DataError(
      { file },
      `Expected a two-dimensional matrix of '<f4' in row-major order but found ${header.trim()}.`,
    );
  }
  return { rows: Number(match[1]), columns: Number(match[2]) };
}

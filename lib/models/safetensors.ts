import { open } from 'node:fs/promises';
import { describe, ModelError } from '../errors.js';

export interface TensorInfo {
  dtype: string;
  shape: number[];
  /** Its first byte in the file, and the byte after its last. */
  start: number;
  end: number;
}

/** A header larger than this is no header: safetensors itself allows 100 MB. */
const LARGEST_HEADER = 100_000_000;

/**
 * Names, types and shapes of a safetensors file's tensors: the JSON header, without the numbers.
 * @throws ModelError if the file is cut off or no safetensors file
 */
export async function readSafetensorsHeader(file: string): Promise<Map<string, TensorInfo>> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const length = Buffer.alloc(8);
    await handle.read(length, 0, 8, 0);
    const headerSize = Number(length.readBigUInt64LE());
    if (size < 8 || headerSize > Math.min(size - 8, LARGEST_HEADER)) {
      throw new ModelError(
        `${file} is no complete safetensors file: it has ${size} bytes, and its first 8 announce a header of ` +
          `${size < 8 ? 'unknown size' : `${headerSize} bytes`}. Download or save it again.`,
      );
    }
    const header = Buffer.alloc(headerSize);
    await handle.read(header, 0, headerSize, 8);
    return parseHeader(header.toString('utf8'), file, { dataStart: 8 + headerSize, size });
  } finally {
    await handle.close();
  }
}

function parseHeader(
  text: string,
  file: string,
  { dataStart, size }: { dataStart: number; size: number },
): Map<string, TensorInfo> {
  const dataBytes = size - dataStart;
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw new ModelError(`${file} is no safetensors file: its header is not JSON (${(error as Error).message}).`, {
      cause: error,
    });
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw new ModelError(`${file} is no safetensors file: its header is ${describe(header)} and not an object.`);
  }
  const tensors = new Map<string, TensorInfo>();
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets } = checkEntry(value, name, file);
    if (data_offsets[1] > dataBytes) {
      throw new ModelError(
        `${file} is cut off: tensor ${name} ends at byte ${data_offsets[1]} of its data, but there are only ` +
          `${dataBytes}. Download or save it again.`,
      );
    }
    const [start, end] = data_offsets;
    tensors.set(name, { dtype, shape, start: dataStart + start, end: dataStart + end });
  }
  return tensors;
}

interface Entry extends Pick<TensorInfo, 'dtype' | 'shape'> {
  /** First byte and end. */
  data_offsets: [number, number];
}

function checkEntry(value: unknown, name: string, file: string): Entry {
  const { dtype, shape, data_offsets } = (value ?? {}) as Partial<Record<keyof Entry, unknown>>;
  if (typeof dtype === 'string' && isSizes(shape) && isSizes(data_offsets) && data_offsets.length === 2) {
    return { dtype, shape, data_offsets: data_offsets as [number, number] };
  }
  throw new ModelError(
    `${file} is no safetensors file: expected dtype, shape and two data_offsets for tensor ${name} in its header but ` +
      `found ${JSON.stringify(value).slice(0, 100)}. Download or save it again.`,
  );
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** A tensor with the file that it is in. */
export type PlacedTensor = TensorInfo & { file: string };

/** The tensors of several files; of one name the last. @throws ModelError if a file is cut off or none */
export async function readTensors(files: readonly string[]): Promise<Map<string, PlacedTensor>> {
  const tensors = new Map<string, PlacedTensor>();
  for (const file of files) {
    for (const [name, info] of await readSafetensorsHeader(file)) tensors.set(name, { ...info, file });
  }
  return tensors;
}

/** What a safetensors file begins with, for tensors that follow one after the other in this order. */
export function safetensorsHeader(tensors: Iterable<[name: string, tensor: TensorInfo]>): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, { dtype, shape, start, end: stop }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + stop - start] };
    end += stop - start;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded]);
}

import { writeFileSync } from 'node:fs';
import type { Tensors } from './helpers.js';

/**
 * Writes weights as 16-bit numbers, cut off rather than rounded.
 * @returns the numbers that the file then holds
 */
export function writeHalves(file: string, tensors: Tensors, dtype: 'F16' | 'BF16'): Tensors {
  const header: Record<string, unknown> = {};
  const data: Buffer[] = [];
  const held: Tensors = {};
  let end = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    const bits = Uint16Array.from(values, dtype === 'BF16' ? bfloatBits : halfBits);
    header[name] = { dtype, shape, data_offsets: [end, end + bits.byteLength] };
    end += bits.byteLength;
    data.push(Buffer.from(bits.buffer));
    held[name] = { shape, values: Float32Array.from(bits, dtype === 'BF16' ? fromBfloat : fromHalf) };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([length, text, ...data]));
  return held;
}

const view = new DataView(new ArrayBuffer(4));

function bfloatBits(value: number): number {
  view.setFloat32(0, value);
  return view.getUint16(0);
}

function fromBfloat(bits: number): number {
  view.setUint32(0, bits * 65_536);
  return view.getFloat32(0);
}

function halfBits(value: number): number {
  const size = Math.abs(value);
  const sign = value < 0 ? 0x8000 : 0;
  if (size < 2 ** -14) return sign | Math.floor(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | ((exponent + 15) << 10) | Math.floor((size / 2 ** exponent - 1) * 1024);
}

function fromHalf(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}

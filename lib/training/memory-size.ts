import { InvalidArgumentError } from '../errors.js';

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };
const BINARY: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/**
 * Bytes from a number, or from a text such as '8GB' (decimal), '8GiB' (binary) or '512 MB'.
 * @throws InvalidArgumentError if it is neither, or not above 0
 */
export function parseMemorySize(given: number | string, argument: string): number {
  const [, number, unit, binary] = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*$/i.exec(String(given)) ?? [];
  const bytes = Math.floor(Number(number) * ((binary ? BINARY : UNITS)[unit?.toLowerCase() ?? ''] ?? Number.NaN));
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError(argument, "bytes, as a number or a text such as '8GB',", given);
}

/** Bytes for people, such as '1.5 GB'. */
export function formatMemorySize(bytes: number): string {
  if (bytes < 1e3) return `${bytes} bytes`;
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

import { readFile, writeFile } from 'node:fs/promises';
import { describe, ModelError } from '../errors.js';

/** A model directory's JSON file, parsed; undefined if it is not there. */
export async function readConfig(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ModelError(`${file} cannot be read: ${(error as Error).message}.`, { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ModelError(`${file} is not JSON: ${(error as Error).message}.`, { cause: error });
  }
}

/** The same for a file that must hold an object. */
export async function readConfigObject(file: string): Promise<Record<string, unknown> | undefined> {
  const value = await readConfig(file);
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ModelError(`${file}: expected a JSON object but found ${describe(value)}.`);
  }
  return value as Record<string, unknown>;
}

/** A field that must be of this type where it is there and not null. */
export function optionalField<T extends 'string' | 'number' | 'boolean'>(
  config: Record<string, unknown>,
  field: string,
  type: T,
  file: string,
): { string: string; number: number; boolean: boolean }[T] | undefined {
  const value = config[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== type) {
    throw new ModelError(`${file}: expected a ${type} for ${field} but found ${describe(value)}.`);
  }
  return value as { string: string; number: number; boolean: boolean }[T];
}

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const MARK = '\uE000';
const MARKED = new RegExp(`"${MARK}([^"]*)"`, 'g');

/**
 * Writes a JSON file with other fields than an existing one, its numbers spelt as they were: transformers refuses 2 where
 * it expects 2.0, and JavaScript would write that.
 * @param change gives the new fields; numbers come to it as strings, to be left alone
 */
export async function writeChangedConfig(
  from: string,
  to: string,
  change: (fields: Record<string, unknown>) => Record<string, unknown>,
): Promise<void> {
  const text = await readFile(from, 'utf8');
  const marked = text.replace(STRING_OR_NUMBER, (one) => (one.startsWith('"') ? one : `"${MARK}${one}"`));
  const changed = JSON.stringify(change(JSON.parse(marked)), null, 2);
  await writeFile(to, `${changed.replace(MARKED, '$1')}\n`);
}

import { readFile } from 'node:fs/promises';
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

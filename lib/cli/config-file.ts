import { readFile } from 'node:fs/promises';
import { DataError, describe, NotFoundError } from '../errors.js';
import { nearestName } from '../option-names.js';
import type { OptionSpec } from './command.js';

/**
 * Options of a command from a JSON file: one object with the API's names. What the command line says goes first.
 * @throws NotFoundError if the file is not there
 * @throws DataError if it is no JSON object or names an option that the command does not have
 */
export async function readConfig(file: string, specs: readonly OptionSpec[]): Promise<Record<string, unknown>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new NotFoundError(`Expected a JSON file of options at ${file} but it cannot be read.`, { cause });
  });
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw new DataError({ file }, `Expected one JSON object of options: ${(cause as Error).message}.`, { cause });
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new DataError({ file }, `Expected one JSON object of options but found ${describe(config)}.`);
  }
  const known = specs.map(({ name }) => name);
  for (const name of Object.keys(config)) {
    if (known.includes(name)) continue;
    const nearest = nearestName(name, known);
    const remedy = nearest ? `did you mean "${nearest}"?` : `there are ${known.join(', ')}.`;
    throw new DataError({ file, field: name }, `There is no such option; ${remedy}`);
  }
  return config as Record<string, unknown>;
}

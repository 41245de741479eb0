import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { DataError, describe, NotFoundError } from '../errors.js';
import { nearestName } from '../option-names.js';
import type { OptionSpec } from './command.js';

/**
 * Options of a command from a JSON or YAML file: one object with the API's names. What the command line says goes
 * first. A "$schema" for editors is passed over.
 * @throws NotFoundError if the file is not there
 * @throws DataError if it is no such object, names an option that the command does not have, or gives a value of
 *   another kind than the option's
 */
export async function readConfig(file: string, specs: readonly OptionSpec[]): Promise<Record<string, unknown>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new NotFoundError(`Expected a JSON or YAML file of options at ${file} but it cannot be read.`, { cause });
  });
  const config = parseConfig(text, file);
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new DataError({ file }, `Expected one object of options but found ${describe(config)}.`);
  }
  const { $schema: _, ...options } = config as Record<string, unknown>;
  for (const [name, value] of Object.entries(options)) checkEntry({ name, value }, file, specs);
  return options;
}

/** YAML holds JSON, with the line of a mistake; so only the name of the format in the message differs. */
function parseConfig(text: string, file: string): unknown {
  const document = parseDocument(text, { prettyErrors: false });
  const [error] = document.errors;
  const format = file.endsWith('.json') ? 'JSON' : 'YAML';
  const expected = `Expected one ${format} object of options`;
  if (error) {
    const line = text.slice(0, error.pos[0]).split('\n').length;
    throw new DataError({ file, line }, `${expected}: ${error.message}.`, { cause: error });
  }
  try {
    return document.toJS();
  } catch (cause) {
    // Aliases that multiply beyond measure are found only when they are resolved.
    throw new DataError({ file }, `${expected}: ${(cause as Error).message}.`, { cause });
  }
}

function checkEntry(entry: { name: string; value: unknown }, file: string, specs: readonly OptionSpec[]): void {
  const { name, value } = entry;
  const spec = specs.find((option) => option.name === name);
  if (spec && fits(value, spec)) return;
  if (spec) {
    throw new DataError({ file, field: name }, `Expected ${wanted(spec)} but found ${describe(value)}.`);
  }
  const known = specs.map(({ name }) => name);
  const nearest = nearestName(name, known);
  const remedy = nearest ? `did you mean "${nearest}"?` : `there are ${known.join(', ')}.`;
  throw new DataError({ file, field: name }, `There is no such option; ${remedy}`);
}

function fits(value: unknown, { kind, choices, orApiValue }: OptionSpec): boolean {
  if (orApiValue?.includes('array') && Array.isArray(value)) return true;
  if (orApiValue?.includes('object') && typeof value === 'object' && value !== null && !Array.isArray(value))
    return true;
  if (orApiValue === 'string or array' && typeof value === 'string') return true;
  if (orApiValue === 'number' && Number.isFinite(value)) return true;
  if (choices) return choices.includes(value as string);
  switch (kind) {
    case 'text':
      return typeof value === 'string';
    case 'texts':
      return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string');
    case 'numbers':
      return Array.isArray(value) && value.every(Number.isFinite);
    case 'whole':
      return Number.isSafeInteger(value);
    case 'number':
      return Number.isFinite(value);
    case 'number or word':
      return Number.isFinite(value) || typeof value === 'string';
    case 'flag':
      return typeof value === 'boolean';
  }
}

const KINDS: Record<OptionSpec['kind'], string> = {
  text: 'a string',
  texts: 'an array of strings',
  whole: 'a whole number',
  number: 'a number',
  numbers: 'an array of numbers',
  'number or word': 'a number or a word',
  flag: 'true or false',
};

function wanted({ kind, choices, orApiValue }: OptionSpec): string {
  if (choices) return `one of ${choices.map((choice) => JSON.stringify(choice)).join(', ')}`;
  if (orApiValue === undefined) return KINDS[kind];
  if (orApiValue === 'string or array') return 'a string or an array';
  return kind === 'texts' ? 'an array' : `${KINDS[kind]} or an ${orApiValue} as the API takes it`;
}

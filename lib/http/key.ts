import { ListwiseError } from '../errors.js';

/**
 * A key from the environment. Keys are read where they are used, and are never part of options, files or messages.
 * @param variable the variable's name, such as 'OPENAI_API_KEY'
 * @throws ListwiseError INVALID_ARGUMENT if the variable is not set
 */
export function keyFromEnvironment(variable: string): string {
  const key = process.env[variable]?.trim();
  if (key) return key;
  throw new ListwiseError(
    'INVALID_ARGUMENT',
    `Expected a key in the environment variable ${variable} but it is not set; export it, or name another by keyVariable.`,
  );
}

/** @throws ListwiseError INVALID_ARGUMENT if it is no name of an environment variable */
export function checkKeyVariable(variable: unknown, argument = 'keyVariable'): void {
  if (variable === undefined || (typeof variable === 'string' && /^[A-Za-z_][A-Za-z0-9_]*$/.test(variable))) return;
  throw new ListwiseError(
    'INVALID_ARGUMENT',
    `Expected the name of an environment variable for ${argument}; what came is not shown, in case it is the key itself.`,
  );
}

/** A text with every occurrence of a key put out. */
export function withoutKey(text: string, key: string | undefined): string {
  return key ? text.replaceAll(key, '***') : text;
}

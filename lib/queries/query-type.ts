import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { DataError, describe, InvalidArgumentError, NotFoundError } from '../errors.js';

/** A passage and a query that suits it; without a passage, a query as users write them. */
export interface Example {
  passage?: string;
  query: string;
}

/** A type of query: what the prompt says, and the examples it may show. */
export interface QueryType {
  /** In lower case, without white space. */
  name: string;
  instruction: string;
  /** How many examples a prompt shows. */
  examples: number;
  /** What they are drawn from. */
  pool: readonly Example[];
}

/** A user's own query, which may name the type that it is an example of. */
export interface OwnExample extends Example {
  type?: string;
}

/** The types that are asked for by default, in this order. */
export const DEFAULT_TYPES = ['question', 'claim', 'title', 'keywords', 'web', 'random'] as const;

/** The type whose examples are the user's own queries. */
export const USER_TYPE = 'user';

/** The folder of the prompts that come with listwise, to be copied and changed. */
export const promptsDirectory = fileURLToPath(new URL('../../prompts', import.meta.url));

const FIELDS = ['name', 'instruction', 'examples', 'pool'];
const YAML = /\.(ya?ml|json)$/;

/**
 * Reads types of queries.
 * @param names names of types that come with listwise, files, or directories of such files
 * @param own the user's queries: those with a type take the place of that type's pool, the others are the pool of
 *   types that say `pool: user`
 * @throws InvalidArgumentError for a name that is none, or two types of one name; NotFoundError, DataError for files
 */
export async function readQueryTypes(names: readonly string[], own: readonly OwnExample[] = []): Promise<QueryType[]> {
  const types: QueryType[] = [];
  const files = new Map<string, string>();
  for (const name of names) {
    const { found, inDirectory } = await filesOf(name);
    for (const file of found) {
      const content = await readYaml(file);
      // A copy of the whole folder has the type for one's own queries, which not everyone has.
      if (inDirectory && own.length === 0 && isRecord(content) && content.pool === 'user') continue;
      const type = await toQueryType(file, content, own);
      const earlier = files.get(type.name);
      if (earlier !== undefined) {
        const problem = `the type "${type.name}" comes from ${earlier} and from ${file}`;
        throw new InvalidArgumentError('queryTypes', 'each type once', problem, 'leave one out');
      }
      files.set(type.name, file);
      types.push(type);
    }
  }
  return types;
}

async function filesOf(name: string): Promise<{ found: string[]; inDirectory: boolean }> {
  const shipped = await shippedTypes();
  if (shipped.includes(name)) return { found: [join(promptsDirectory, `${name}.yaml`)], inDirectory: false };
  const place = await stat(name).catch(() => undefined);
  if (place?.isFile()) return { found: [name], inDirectory: false };
  if (place?.isDirectory()) return { found: await typeFilesIn(name), inDirectory: true };
  const known = shipped.join(', ');
  throw new NotFoundError(
    `Expected a type of query (${known}), a file or a directory of types but found ${describe(name)}; ` +
      'copy the prompts that come with listwise and change them.',
  );
}

async function shippedTypes(): Promise<string[]> {
  return (await typeFilesIn(promptsDirectory)).map((file) => basename(file, extname(file)));
}

/** The type files of a directory: those that have an instruction. The pools beside them have none. */
async function typeFilesIn(directory: string): Promise<string[]> {
  const files: string[] = [];
  for (const name of (await readdir(directory)).filter((file) => YAML.test(file)).sort()) {
    const content = await readYaml(join(directory, name));
    if (isRecord(content)) files.push(join(directory, name));
  }
  if (files.length > 0) return files;
  throw new NotFoundError(`Expected files of query types (*.yaml with an instruction) in ${directory} but found none.`);
}

async function toQueryType(file: string, content: unknown, own: readonly OwnExample[]): Promise<QueryType> {
  if (!isRecord(content)) {
    throw new DataError({ file }, `Expected a type with an instruction but found ${describe(content)}.`);
  }
  for (const field of Object.keys(content)) {
    if (!FIELDS.includes(field))
      throw new DataError({ file, field }, `Expected ${FIELDS.join(', ')} and no other field.`);
  }
  const { name, instruction, examples } = checkType(content, file);
  const pool = examples === 0 ? [] : await poolOf({ file, name, pool: content.pool, own });
  if (pool.length >= examples) return { name, instruction: instruction.trim(), examples, pool };
  const problem = `Expected at least ${examples} examples to draw from but the pool has ${pool.length} for "${name}".`;
  throw new DataError({ file, field: 'pool' }, problem);
}

function checkType(content: Record<string, unknown>, file: string) {
  const { name = basename(file, extname(file)), instruction, examples = 3 } = content;
  if (typeof name !== 'string' || !/^\S+$/.test(name)) {
    throw new DataError({ file, field: 'name' }, `Expected a name without white space but found ${describe(name)}.`);
  }
  if (typeof instruction !== 'string' || instruction.trim() === '') {
    throw new DataError({ file, field: 'instruction' }, `Expected a text but found ${describe(instruction)}.`);
  }
  if (!Number.isInteger(examples) || (examples as number) < 0) {
    throw new DataError({ file, field: 'examples' }, `Expected a whole number from 0 but found ${describe(examples)}.`);
  }
  return { name, instruction, examples: examples as number };
}

interface PoolSource {
  file: string;
  name: string;
  pool: unknown;
  own: readonly OwnExample[];
}

async function poolOf({ file, name, pool, own }: PoolSource): Promise<readonly Example[]> {
  const mine = own.filter(({ type }) => (pool === 'user' ? type === undefined || type === name : type === name));
  const examples = mine.map(({ passage, query }) => ({ passage, query }));
  if (examples.length > 0) return examples;
  if (pool === 'user') {
    const problem = `The type "${name}" takes its examples from your own queries; give them with exampleQueries.`;
    throw new DataError({ file, field: 'pool' }, problem);
  }
  if (typeof pool === 'string') {
    const place = resolve(dirname(file), pool);
    return entries(await readYaml(place), { file: place, name });
  }
  return entries(pool, { file, name });
}

/** The entries of a pool that have a query of the type: by the type's name, or `query`, which suits all types. */
function entries(pool: unknown, { file, name }: { file: string; name: string }): Example[] {
  if (!Array.isArray(pool)) {
    const problem = `Expected a list of {passage, ${name}} or the name of a file of them but found ${describe(pool)}.`;
    throw new DataError({ file, field: 'pool' }, problem);
  }
  return pool.flatMap((entry: unknown, place) => {
    const where = { file, field: `entry ${place + 1}` };
    if (!isRecord(entry)) throw new DataError(where, `Expected an object but found ${describe(entry)}.`);
    const { passage } = entry;
    const query = entry[name] ?? entry.query;
    if (query === undefined) return [];
    for (const [field, value] of Object.entries({ passage, [name]: query })) {
      if (typeof value === 'string' && value.trim() !== '') continue;
      throw new DataError(where, `Expected a text as "${field}" but found ${describe(value)}.`);
    }
    return [{ passage: (passage as string).trim(), query: (query as string).trim() }];
  });
}

async function readYaml(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new NotFoundError(`Expected a YAML file at ${file} but it cannot be read.`, { cause });
  });
  try {
    return parse(text);
  } catch (cause) {
    throw new DataError({ file }, `Expected YAML but the parser says: ${(cause as Error).message}`, { cause });
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

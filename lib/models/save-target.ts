import { readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { InvalidArgumentError } from '../errors.js';
import { writing } from '../formats/writing.js';
import { readConfig } from './config-file.js';

/** Configuration and tokeniser, as sentence-transformers and transformers name their files. */
const CONFIGURATION =
  /^((modules|config|config_sentence_transformers|sentence_\w+_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|unigram)\.json|(vocab|merges)\.txt|(tokenizer|spiece|sentencepiece(\.bpe)?)\.model)$/;

/** What a saved model has beside these; the last are weights that were not written to their end. */
const MADE_ANEW = /^(README\.md|model\.safetensors|model\.safetensors\.\d+\.tmp)$/;

/** Folders of modules as sentence-transformers names them; modules.json may name others. */
const MODULE_FOLDER = /^\d+_[A-Z]\w*$/;

/** Whether a file belongs to a model whatever its weights are: configuration or tokeniser. */
export function isConfiguration(name: string): boolean {
  return CONFIGURATION.test(name);
}

/** Whether a folder of a model directory (by its relative path) holds one of its modules, or leads to one. */
export type ModuleFolders = (path: string) => boolean;

/** The folders of a directory's modules, by their usual names and by modules.json, if there is one to be read. */
export async function moduleFolders(directory: string): Promise<ModuleFolders> {
  const modules = await readConfig(join(directory, 'modules.json')).catch(() => undefined);
  const named = (Array.isArray(modules) ? modules : [])
    .map((entry: { path?: unknown } | null) => entry?.path)
    .filter((path) => typeof path === 'string' && path !== '');
  return (folder) => MODULE_FOLDER.test(folder) || named.some((path) => `${path}/`.startsWith(`${folder}/`));
}

/**
 * Checks that saving a model to `target` loses nothing: it is not there yet, is empty, or holds a model in
 * sentence-transformers' layout and nothing beside it.
 * @param base the directory that the model was read from; `target` may be it, but not lie inside it
 * @param argument the name of the option that says where to save, for the message
 * @param mark the file by which a saved model is known: a cross-encoder has no modules.json
 * @throws InvalidArgumentError if it holds anything else, naming it, or lies inside `base`
 * @throws WriteError if it is a file or cannot be read
 */
export async function checkSaveTarget(
  target: string,
  base: string,
  argument = 'directory',
  mark: 'modules.json' | 'config.json' = 'modules.json',
): Promise<void> {
  if ((await settledPath(target)) !== (await settledPath(base))) await checkOutside(target, base, argument);
  const entries = await listEntries(target, await moduleFolders(target));
  if (entries.length === 0) return;
  const expected = 'a new or empty directory, or one that holds a saved model and nothing else,';
  const strangers = entries.filter((entry) => !belongsToModel(entry));
  if (strangers.length > 0) {
    const more = strangers.length > 3 ? ` and ${strangers.length - 3} more` : '';
    const found = `it holds ${strangers.slice(0, 3).join(', ')}${more}, which would be lost`;
    throw new InvalidArgumentError(argument, expected, target, found);
  }
  const hasWeights = entries.some((entry) => basename(entry) === 'model.safetensors');
  if (entries.includes(mark) && hasWeights) return;
  const missing = entries.includes(mark) ? 'model.safetensors' : mark;
  throw new InvalidArgumentError(argument, expected, target, `it holds files but no ${missing}`);
}

/**
 * Checks that a directory to write to is neither a model's nor below it: the model would change with what is written.
 * @throws InvalidArgumentError if it is
 */
export async function checkOutside(target: string, base: string, argument: string): Promise<void> {
  if (!(await isWithin(target, base))) return;
  throw new InvalidArgumentError(argument, `a directory outside of the base model's (${base})`, target);
}

/** Whether a path is a directory or lies below it, once links are followed. */
export async function isWithin(path: string, directory: string): Promise<boolean> {
  const way = relative(await settledPath(directory), await settledPath(path));
  return way !== '..' && !way.startsWith(`..${sep}`) && resolve(way) !== way;
}

/** Files of a model directory and its modules' folders, by relative path with '/'; other folders by name and '/'. */
async function listEntries(directory: string, isModule: ModuleFolders, prefix = ''): Promise<string[]> {
  const entries = await writing(directory, () =>
    readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    }),
  );
  const names: string[] = [];
  for (const entry of entries) {
    const name = prefix + entry.name;
    // Only folders of modules are looked into: any other is a stranger whatever it holds.
    if (!entry.isDirectory()) names.push(name);
    else if (isModule(name)) names.push(...(await listEntries(join(directory, entry.name), isModule, `${name}/`)));
    else names.push(`${name}/`);
  }
  return names;
}

function belongsToModel(entry: string): boolean {
  const name = entry.slice(entry.lastIndexOf('/') + 1);
  return CONFIGURATION.test(name) || MADE_ANEW.test(name);
}

/** A path without links, as far as it exists. */
async function settledPath(path: string): Promise<string> {
  const whole = resolve(path);
  const real = await realpath(whole).catch(() => undefined);
  if (real !== undefined) return real;
  const parent = dirname(whole);
  return parent === whole ? whole : join(await settledPath(parent), basename(whole));
}

import { join } from 'node:path';
import { describe, ListwiseError, ModelError } from '../errors.js';
import { optionalField, readConfigObject } from './config-file.js';

type Config = Record<string, unknown>;
type Check = (value: unknown) => boolean;

/** sentence-transformers' classes of models, as config_sentence_transformers.json calls them. */
export type SentenceModelType = 'SentenceTransformer' | 'CrossEncoder';

/** What config_sentence_transformers.json says. */
export interface SentenceConfig {
  /** Its path, for messages. */
  file: string;
  /** Prompts by name; '' means none on purpose. */
  prompts: Readonly<Record<string, string>>;
  /** The prompt that texts of no kind get: the name of one of `prompts`, or 'query' or 'document' of an embedding model. */
  defaultPromptName: string | undefined;
  /** A path of Python, or null. */
  activation: unknown;
}

const FILE = 'config_sentence_transformers.json';

const isAnything: Check = () => true;

/** Every field there may be, with the values that mean what is computed here. Versions are for the record. */
const FIELDS: Record<string, Check> = {
  __version__: isAnything,
  requirements: isAnything,
  prompts: isAnything,
  default_prompt_name: isAnything,
};

const OWN_FIELDS: Record<SentenceModelType, Record<string, Check>> = {
  SentenceTransformer: {
    // Of embeddings of unit length these three give one ranking.
    similarity_fn_name: (value) => [null, 'cosine', 'dot', 'euclidean'].includes(value as string | null),
    truncate_dim: (value) => value === null,
  },
  CrossEncoder: {
    activation_fn: isAnything,
    // Layers that keep single precision where Python computes in halves.
    keep_in_fp32_modules: isAnything,
  },
};

/** What can be done about some of the values that are refused. */
const REMEDIES: Readonly<Record<string, string>> = {
  truncate_dim: ' Embeddings are not cut here: remove the field to use all of their numbers.',
};

/** Prompts that an embedding model always has in Python, if only empty ones. */
const USUAL_PROMPTS: Record<SentenceModelType, readonly string[]> = {
  SentenceTransformer: ['query', 'document'],
  CrossEncoder: [],
};

/**
 * Reads config_sentence_transformers.json whole; nothing is said where there is no such file.
 * @param type what the directory is read as
 * @throws ListwiseError UNSUPPORTED for a field, or a value of one, that is not honoured here
 * @throws ModelError where a field is of another type than it must be, or the default prompt is not there
 */
export async function readSentenceConfig(directory: string, type: SentenceModelType): Promise<SentenceConfig> {
  const file = join(directory, FILE);
  const config = (await readConfigObject(file)) ?? {};
  const fields = { ...FIELDS, ...OWN_FIELDS[type], model_type: (value: unknown) => value === type };
  for (const [field, value] of Object.entries(config)) {
    const honoured = Object.hasOwn(fields, field) ? fields[field as keyof typeof fields] : undefined;
    if (honoured?.(value)) continue;
    const shown = typeof value === 'object' ? JSON.stringify(value) : describe(value);
    throw new ListwiseError('UNSUPPORTED', `${file}: ${field} ${shown} is not supported.${REMEDIES[field] ?? ''}`);
  }
  const prompts = readPrompts(config, file);
  const defaultPromptName = optionalField(config, 'default_prompt_name', 'string', file);
  checkDefault(defaultPromptName, [...USUAL_PROMPTS[type], ...Object.keys(prompts)], file);
  return { file, prompts, defaultPromptName, activation: config['activation_fn'] };
}

function readPrompts(config: Config, file: string): Record<string, string> {
  const prompts = config['prompts'] ?? {};
  if (typeof prompts !== 'object' || Array.isArray(prompts)) {
    throw new ModelError(`${file}: expected an object for prompts but found ${describe(prompts)}.`);
  }
  const named = Object.keys(prompts).map((name) => [
    name,
    optionalField(prompts as Config, name, 'string', `${file}, prompts`),
  ]);
  return Object.fromEntries(named.filter(([, prompt]) => prompt !== undefined));
}

function checkDefault(name: string | undefined, prompts: readonly string[], file: string): void {
  if (name === undefined || prompts.includes(name)) return;
  throw new ModelError(
    `${file}: default_prompt_name "${name}" is none of the prompts (${prompts.join(', ') || 'there are none'}); Python ` +
      'does not open such a model either. Correct it, or set it to null.',
  );
}

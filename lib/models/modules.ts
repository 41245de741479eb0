import { join } from 'node:path';
import { describe, ListwiseError, ModelError } from '../errors.js';
import type { Pooling } from '../native.js';
import { optionalField, readConfig, readConfigObject } from './config-file.js';
import { type DenseModule, readDense } from './dense-module.js';

/** What modules.json and the modules' own configs say. */
export interface SentenceModules {
  /** Where the Transformer module lies, relative to the model's directory; '' is the directory itself. */
  transformerPath: string;
  /** The Pooling module's mode. */
  pooling: Pooling;
  /** Where its config lies, for messages. */
  poolingFile: string;
  /** Width that the Pooling module expects. */
  width: number | undefined;
  dense: DenseModule[];
  /** Whether there is a Normalize module. */
  normalize: boolean;
}

interface ModuleEntry {
  kind: string;
  path: string;
}

const SUPPORTED = 'one Transformer, then Pooling, then any number of Dense, then optionally Normalize';

/** Pooling modes by sentence-transformers' name, as the block knows them. */
export const POOLING_MODES: Readonly<Record<string, Pooling>> = {
  mean: 'mean',
  cls: 'first-token',
  max: 'max',
  mean_sqrt_len_tokens: 'mean-sqrt-length',
  weightedmean: 'weighted-mean',
  lasttoken: 'last-token',
};

/** The older flags of a Pooling config and the modes that they stand for. */
export const POOLING_FLAGS: Readonly<Record<string, string>> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
  pooling_mode_lasttoken: 'lasttoken',
};

/**
 * Reads modules.json and the Pooling, Dense and Normalize modules that it names.
 * @returns undefined if there is no modules.json: a plain transformers directory
 * @throws ListwiseError UNSUPPORTED for a module, an order or a setting that is not computed
 */
export async function readModules(directory: string): Promise<SentenceModules | undefined> {
  const file = join(directory, 'modules.json');
  const value = await readConfig(file);
  if (value === undefined) return undefined;
  const modules = parseModules(value, file);
  const kinds = modules.map((module) => module.kind).join(', ');
  if (!/^Transformer, Pooling(, Dense)*(, Normalize)?$/.test(kinds)) {
    throw new ListwiseError('UNSUPPORTED', `${file}: modules ${kinds} are not supported; supported: ${SUPPORTED}.`);
  }
  const [transformer, pooling, ...rest] = modules;
  const normalize = rest.find(({ kind }) => kind === 'Normalize');
  if (normalize) await checkNormalize(join(directory, normalize.path, 'config.json'));
  const dense = rest.filter(({ kind }) => kind === 'Dense');
  return {
    transformerPath: transformer!.path,
    ...(await readPooling(join(directory, pooling!.path, 'config.json'))),
    dense: await Promise.all(dense.map(({ path }) => readDense(directory, path))),
    normalize: normalize !== undefined,
  };
}

function parseModules(value: unknown, file: string): ModuleEntry[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new ModelError(`${file}: expected a list of modules but found ${describe(value)}.`);
  }
  return value.map((entry: Record<string, unknown>, index) => {
    const { type, path } = entry ?? {};
    if (typeof type !== 'string' || typeof path !== 'string') {
      throw new ModelError(`${file}: module ${index} needs a type and a path, both strings.`);
    }
    // Classes outside sentence-transformers are code that a model's author wrote: their names promise nothing.
    return { kind: type.startsWith('sentence_transformers.') ? type.slice(type.lastIndexOf('.') + 1) : type, path };
  });
}

async function readPooling(file: string): Promise<Pick<SentenceModules, 'pooling' | 'poolingFile' | 'width'>> {
  const config = await readConfigObject(file);
  if (!config) throw new ModelError(`${file} is missing, but modules.json names a Pooling module there.`);
  const modes = poolingModes(config);
  const pooling = modes.length === 1 && Object.hasOwn(POOLING_MODES, modes[0]!) ? POOLING_MODES[modes[0]!] : undefined;
  if (!pooling) {
    throw new ListwiseError(
      'UNSUPPORTED',
      `${file}: pooling by ${modes.join(' and ')} is not supported; supported: ` +
        `${Object.keys(POOLING_MODES).join(', ')}.`,
    );
  }
  if (config['include_prompt'] === false) {
    throw new ListwiseError(
      'UNSUPPORTED',
      `${file}: pooling without the prompt (include_prompt false) is not supported.`,
    );
  }
  const width =
    optionalField(config, 'embedding_dimension', 'number', file) ??
    optionalField(config, 'word_embedding_dimension', 'number', file);
  return { pooling, poolingFile: file, width };
}

/** A mode's name or several in `pooling_mode`, else the flags; none at all means mean. */
function poolingModes(config: Record<string, unknown>): string[] {
  const named = config['pooling_mode'];
  if (typeof named === 'string') return [named];
  if (Array.isArray(named) && named.length > 0) return named.map(String);
  const flagged = Object.entries(POOLING_FLAGS).filter(([flag]) => config[flag] === true);
  return flagged.length > 0 ? flagged.map(([, mode]) => mode) : ['mean'];
}

async function checkNormalize(file: string): Promise<void> {
  const config = (await readConfigObject(file)) ?? {};
  for (const field of ['module_input_name', 'module_output_name']) {
    const name = config[field] ?? 'sentence_embedding';
    if (name !== 'sentence_embedding') {
      throw new ListwiseError(
        'UNSUPPORTED',
        `${file}: ${field} ${describe(name)} is not supported; supported: "sentence_embedding".`,
      );
    }
  }
}

import { join } from 'node:path';
import { describe, ListwiseError, ModelError } from '../errors.js';
import type { Architecture, WeightNames } from '../native.js';
import { optionalField, readConfig, readConfigObject } from './config-file.js';
import { requireDirectory } from './directory.js';
import { describeModel } from './families.js';
import { describeHead, type ScoringHead } from './heads.js';
import { readSentenceConfig, type SentenceConfig } from './sentence-config.js';
import { readTransformerSettings } from './transformer-config.js';
import { checkNoAdapter, findWeights } from './weight-files.js';

/** What a cross-encoder's directory says: transformers' layout, or that of sentence-transformers' CrossEncoder. */
export interface CrossEncoderDirectory {
  directory: string;
  /** Where config.json, weights and tokenizer lie, relative to `directory`. */
  transformerPath: string;
  family: string;
  architecture: Architecture;
  /** Those of the encoder and, for T5, of the decoder. */
  weightNames: WeightNames;
  weightFiles: string[];
  head: ScoringHead;
  /** Longest pair in tokens, special tokens included. */
  maxLength: number;
  lowerCase: boolean;
  /** config_sentence_transformers.json. */
  sentence: SentenceConfig;
  /** config.json, and its path. */
  config: Record<string, unknown>;
  configFile: string;
}

/**
 * Reads a cross-encoder's directory.
 * @throws NotFoundError if it is not there; ModelError if it is broken, or holds no cross-encoder
 * @throws ListwiseError UNSUPPORTED for families, heads and settings that are not computed here
 */
export async function readCrossEncoderDirectory(directory: string): Promise<CrossEncoderDirectory> {
  await requireDirectory(directory);
  const transformerPath = await readTransformerPath(directory);
  const transformer = join(directory, transformerPath);
  await checkNoAdapter(transformer);
  const configFile = join(transformer, 'config.json');
  const config = await readConfigObject(configFile);
  if (!config)
    throw new ModelError(
      `${configFile} is missing, so ${directory} is no model directory: expected config.json there.`,
    );
  const { files: weightFiles, tensors } = await findWeights(transformer);
  const described = describeModel(config, new Set(tensors.keys()), configFile);
  const head = describeHead(described, config, { tensors, file: configFile });
  const { maxPositions } = described.architecture;
  const sentence = await readSentenceConfig(directory, 'CrossEncoder');
  const settings = await readTransformerSettings(transformer, 'scoring');
  const tokenizerFile = join(transformer, 'tokenizer_config.json');
  const tokenizer = (await readConfigObject(tokenizerFile)) ?? {};
  const own = optionalField(tokenizer, 'model_max_length', 'number', tokenizerFile);
  const maxLength = settings.maxLength ?? own ?? described.usualLength ?? maxPositions;
  return {
    ...{ directory, transformerPath, family: described.family, architecture: described.architecture, weightFiles },
    weightNames: { ...described.weightNames, ...head.weightNames },
    ...{ head, maxLength: Math.min(maxLength, maxPositions), lowerCase: settings.lowerCase },
    ...{ sentence, config, configFile },
  };
}

/** modules.json of a CrossEncoder names one Transformer; older directories have none. */
async function readTransformerPath(directory: string): Promise<string> {
  const file = join(directory, 'modules.json');
  const modules = await readConfig(file);
  if (modules === undefined) return '';
  if (!Array.isArray(modules) || modules.length === 0) {
    throw new ModelError(`${file}: expected a list of modules but found ${describe(modules)}.`);
  }
  const kinds = modules.map(({ type }: { type?: unknown }) => String(type).split('.').at(-1));
  if (kinds.includes('Pooling')) {
    throw new ModelError(
      `${file} names a Pooling module: this is an embedding model and no cross-encoder. Give a model that was ` +
        'trained to score pairs.',
    );
  }
  const [{ path = '' }] = modules as [{ path?: string }];
  if (kinds.length === 1 && kinds[0] === 'Transformer') return path;
  throw new ListwiseError(
    'UNSUPPORTED',
    `${file}: modules ${kinds.join(', ')} are not supported; supported: Transformer.`,
  );
}

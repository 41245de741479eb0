import { join } from 'node:path';
import { describe, ListwiseError, ModelError } from '../errors.js';
import { optionalField, readConfigObject } from './config-file.js';

/** What sentence_bert_config.json says about the Transformer module. */
export interface TransformerSettings {
  /** Longest text in tokens, special tokens included. */
  maxLength: number | undefined;
  /** The same for queries alone and for passages alone. */
  queryMaxLength: number | undefined;
  passageMaxLength: number | undefined;
  /** Lower-case texts before the tokenizer does what it does. */
  lowerCase: boolean;
}

/** sentence-transformers has named this file by architecture over the years. */
const FILES = ['bert', 'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet'].map(
  (architecture) => `sentence_${architecture}_config.json`,
);

type Config = Record<string, unknown>;
type Check = (value: unknown) => boolean;

const isAnything: Check = () => true;
const isEmpty: Check = (value) => value === null || (typeof value === 'object' && Object.keys(value).length === 0);
const isTextModel =
  (output: string): Check =>
  (value) =>
    JSON.stringify(value) === `{"text":{"method":"forward","method_output_name":"${output}"}}`;

/** Settings of how Python loads the model, without effect on what it computes here. */
const LOADING = new Set([
  'torch_dtype',
  'dtype',
  'attn_implementation',
  'model_max_length',
  'use_memory_efficient_attention',
]);
const isLoading: Check = (value) => isEmpty(value) || Object.keys(value as object).every((key) => LOADING.has(key));

/** Every field there may be, with the values that mean what is computed here. */
const FIELDS: Record<string, Check> = {
  max_seq_length: isAnything,
  query_length: isAnything,
  document_length: isAnything,
  do_lower_case: isAnything,
  unpad_inputs: isAnything,
  processing_kwargs: isEmpty,
  query_expansion: isEmpty,
  tokenizer_name_or_path: isEmpty,
  model_args: isLoading,
  model_kwargs: isLoading,
  tokenizer_args: isLoading,
  processor_kwargs: isLoading,
  config_args: isEmpty,
  config_kwargs: isEmpty,
};

/** What the module is for, and so what may stand in its file. */
const TASKS: Record<TransformerTask, Record<string, Check>> = {
  embedding: {
    transformer_task: (value) => value === 'feature-extraction',
    modality_config: isTextModel('last_hidden_state'),
    module_output_name: (value) => value === 'token_embeddings',
  },
  scoring: {
    transformer_task: (value) => value === 'sequence-classification',
    modality_config: isTextModel('logits'),
    module_output_name: (value) => value === 'scores',
  },
};

export type TransformerTask = 'embedding' | 'scoring';

/**
 * Reads the Transformer module's settings; all undefined where there is no such file.
 * @throws ListwiseError UNSUPPORTED for a setting that is not computed here
 */
export async function readTransformerSettings(
  directory: string,
  task: TransformerTask = 'embedding',
): Promise<TransformerSettings> {
  const fields = { ...FIELDS, ...TASKS[task] };
  const { file, config } = await findConfig(directory);
  for (const [field, value] of Object.entries(config)) {
    const honoured = Object.hasOwn(fields, field) ? fields[field] : undefined;
    if (honoured?.(value)) continue;
    const shown = typeof value === 'object' ? JSON.stringify(value) : describe(value);
    throw new ListwiseError('UNSUPPORTED', `${file}: ${field} ${shown} is not supported.`);
  }
  const tokenizer = (config['tokenizer_args'] ?? config['processor_kwargs'] ?? {}) as Config;
  return {
    maxLength: length(config, 'max_seq_length', file) ?? length(tokenizer, 'model_max_length', file),
    queryMaxLength: length(config, 'query_length', file),
    passageMaxLength: length(config, 'document_length', file),
    lowerCase: optionalField(config, 'do_lower_case', 'boolean', file) ?? false,
  };
}

async function findConfig(directory: string): Promise<{ file: string; config: Config }> {
  for (const name of FILES) {
    const file = join(directory, name);
    const config = await readConfigObject(file);
    if (config) return { file, config };
  }
  return { file: join(directory, FILES[0]!), config: {} };
}

function length(config: Config, field: string, file: string): number | undefined {
  const value = optionalField(config, field, 'number', file);
  if (value !== undefined && !(Number.isInteger(value) && value > 0)) {
    throw new ModelError(`${file}: expected a whole number above 0 for ${field} but found ${describe(value)}.`);
  }
  return value;
}

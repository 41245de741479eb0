import type { ModelOptions } from '../models/model.js';
import { poolings } from '../models/settings.js';
import { type OptionSpec, pick } from './command.js';

/** How a model is loaded; the same for every command that loads one. */
export const loadingOptions: readonly OptionSpec[] = [
  {
    name: 'device',
    kind: 'text',
    value: 'device',
    help: "'cpu', 'cuda', 'cuda:1', ... (default: CUDA if there is any)",
  },
  {
    name: 'precision',
    kind: 'text',
    choices: ['fp32', 'bf16', 'int8'],
    help: 'numbers inside the model (default: fp32, bf16 on CUDA); int8: on the CPU, faster, not for training',
  },
  { name: 'revision', kind: 'text', value: 'name', help: 'branch, tag or commit on the Hub' },
  { name: 'pooling', kind: 'text', choices: poolings, help: "pooling (default: the model's own)" },
  { name: 'queryPrefix', kind: 'text', value: 'text', help: "put before each query (default: the model's own)" },
  { name: 'passagePrefix', kind: 'text', value: 'text', help: "put before each passage (default: the model's own)" },
];

/** How a ranking is reranked. */
export const rerankOptions: readonly OptionSpec[] = [
  {
    name: 'rerank',
    kind: 'text',
    value: 'model',
    help: "a cross-encoder that puts each query's best passages in its own order",
  },
  { name: 'rerankDepth', kind: 'whole', value: 'passages', help: 'how many of them (default: 100)' },
  {
    name: 'rerankMaxLength',
    kind: 'whole',
    value: 'tokens',
    help: "longest pair (default: 512, or the model's most)",
  },
];

export const lengthOption: OptionSpec = {
  name: 'maxLength',
  kind: 'whole',
  value: 'tokens',
  help: "most tokens of a text (default: the model's own)",
};

export const modelOption: OptionSpec = {
  name: 'model',
  kind: 'text',
  value: 'model',
  required: true,
  help: 'a directory in sentence-transformers\' layout, or a Hub name "owner/name"',
};

/** Of a command's options, those that say how the model is loaded. */
export function loadingOptionsOf(options: Record<string, unknown>): Omit<ModelOptions, 'signal' | 'onProgress'> {
  return pick(options, ['device', 'precision', 'revision', 'pooling', 'queryPrefix', 'passagePrefix']);
}

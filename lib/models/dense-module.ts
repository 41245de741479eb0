import { join } from 'node:path';
import { describe, ListwiseError, ModelError } from '../errors.js';
import type { DenseSpec } from '../native.js';
import { optionalField, readConfigObject } from './config-file.js';

/** A Dense module of sentence-transformers: a linear layer on pooled rows, then an activation. */
export interface DenseModule extends DenseSpec {
  file: string;
  /** Its folder, relative to the model's directory. */
  path: string;
  /** Its config.json, for messages. */
  configFile: string;
}

/** PyTorch's classes of activations → the addon's; without one it is tanh, sentence-transformers' default. */
const ACTIVATIONS: Readonly<Record<string, DenseSpec['activation']>> = {
  'torch.nn.modules.linear.Identity': 'identity',
  'torch.nn.modules.activation.Tanh': 'tanh',
  'torch.nn.modules.activation.ReLU': 'relu',
  'torch.nn.modules.activation.GELU': 'gelu',
  'torch.nn.modules.activation.Sigmoid': 'sigmoid',
};

/** Fields that change what is computed, with the values that are honoured; absent or null is fine. */
const HONOURED: Readonly<Record<string, unknown>> = {
  module_input_name: 'sentence_embedding',
  module_output_name: 'sentence_embedding',
  use_residual: false,
};

/**
 * Reads a Dense module's config.
 * @throws ListwiseError UNSUPPORTED for an activation or a setting that is not computed; ModelError if it is broken
 */
export async function readDense(directory: string, path: string): Promise<DenseModule> {
  const configFile = join(directory, path, 'config.json');
  const config = await readConfigObject(configFile);
  if (!config) throw new ModelError(`${configFile} is missing, but modules.json names a Dense module there.`);
  for (const [field, honoured] of Object.entries(HONOURED)) {
    if ((config[field] ?? honoured) !== honoured) {
      const found = describe(config[field]);
      throw unsupported(configFile, `${field} ${found} is not supported; supported: ${JSON.stringify(honoured)}`);
    }
  }
  const name = config['activation_function'] ?? 'torch.nn.modules.activation.Tanh';
  const activation = typeof name === 'string' && Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
  if (!activation) {
    const known = Object.keys(ACTIVATIONS).join(', ');
    throw unsupported(configFile, `activation_function ${describe(name)} is not supported; supported: ${known}`);
  }
  return {
    path,
    configFile,
    file: join(directory, path, 'model.safetensors'),
    inputs: width(config, 'in_features', configFile),
    outputs: width(config, 'out_features', configFile),
    bias: optionalField(config, 'bias', 'boolean', configFile) ?? true,
    activation,
  };
}

/** @throws ModelError unless each module takes as many numbers as come in */
export function checkDenseWidths(modules: readonly DenseModule[], hiddenSize: number): void {
  let before = hiddenSize;
  for (const { configFile, inputs, outputs } of modules) {
    if (inputs !== before) {
      throw new ModelError(`${configFile} expects ${inputs} numbers for in_features, but ${before} come in.`);
    }
    before = outputs;
  }
}

/** What the addon is told of the modules. */
export function denseSpecs(modules: readonly DenseModule[]): DenseSpec[] {
  return modules.map(({ file, inputs, outputs, bias, activation }) => ({ file, inputs, outputs, bias, activation }));
}

function width(config: Record<string, unknown>, field: string, file: string): number {
  const value = config[field];
  if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
  throw new ModelError(`${file}: expected a whole number above 0 for ${field} but found ${describe(value)}.`);
}

function unsupported(file: string, what: string): ListwiseError {
  return new ListwiseError('UNSUPPORTED', `${file}: ${what}.`);
}

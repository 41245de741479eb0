import { describe, ListwiseError, ModelError } from '../errors.js';
import type { Architecture, WeightNames } from '../native.js';

/** What a model's config.json and weights file say, in the terms of the packed block. */
export interface DescribedModel {
  /** config.json's model_type. */
  family: string;
  architecture: Architecture;
  weightNames: WeightNames;
}

type Config = Record<string, unknown>;

/** A model family as data: how its config.json is read, what is refused, and how its weights are named. */
interface Family {
  /** The fields of config.json that hold each size of the architecture. */
  sizes: Record<'vocabularySize' | 'hiddenSize' | 'layers' | 'heads' | 'intermediateSize' | 'maxPositions', string>;
  tokenTypes: string;
  layerNormEps: string;
  activation: string;
  /** Fields whose value changes the computation, with the values that the block honours. Absent is fine. */
  required: Record<string, readonly unknown[]>;
  /** Role in the block → name in the weights file, less the prefix that some files carry. */
  weightNames: WeightNames;
}

/** config.json's names of activations → the block's. `gelu_fast` and `gelu_new` are the same function. */
const ACTIVATIONS: Record<string, Architecture['activation']> = {
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_fast: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  relu: 'relu',
};

const BERT: Family = {
  sizes: {
    vocabularySize: 'vocab_size',
    hiddenSize: 'hidden_size',
    layers: 'num_hidden_layers',
    heads: 'num_attention_heads',
    intermediateSize: 'intermediate_size',
    maxPositions: 'max_position_embeddings',
  },
  tokenTypes: 'type_vocab_size',
  layerNormEps: 'layer_norm_eps',
  activation: 'hidden_act',
  required: {
    position_embedding_type: ['absolute', null],
    is_decoder: [false],
    add_cross_attention: [false],
    quantization_config: [null],
    pruned_heads: [{}, null],
  },
  weightNames: {
    'embeddings.word': 'embeddings.word_embeddings.weight',
    'embeddings.position': 'embeddings.position_embeddings.weight',
    'embeddings.tokenType': 'embeddings.token_type_embeddings.weight',
    'embeddings.norm.weight': 'embeddings.LayerNorm.weight',
    'embeddings.norm.bias': 'embeddings.LayerNorm.bias',
    'attention.query.weight': 'encoder.layer.{layer}.attention.self.query.weight',
    'attention.query.bias': 'encoder.layer.{layer}.attention.self.query.bias',
    'attention.key.weight': 'encoder.layer.{layer}.attention.self.key.weight',
    'attention.key.bias': 'encoder.layer.{layer}.attention.self.key.bias',
    'attention.value.weight': 'encoder.layer.{layer}.attention.self.value.weight',
    'attention.value.bias': 'encoder.layer.{layer}.attention.self.value.bias',
    'attention.output.weight': 'encoder.layer.{layer}.attention.output.dense.weight',
    'attention.output.bias': 'encoder.layer.{layer}.attention.output.dense.bias',
    'attention.norm.weight': 'encoder.layer.{layer}.attention.output.LayerNorm.weight',
    'attention.norm.bias': 'encoder.layer.{layer}.attention.output.LayerNorm.bias',
    'feedForward.in.weight': 'encoder.layer.{layer}.intermediate.dense.weight',
    'feedForward.in.bias': 'encoder.layer.{layer}.intermediate.dense.bias',
    'feedForward.out.weight': 'encoder.layer.{layer}.output.dense.weight',
    'feedForward.out.bias': 'encoder.layer.{layer}.output.dense.bias',
    'feedForward.norm.weight': 'encoder.layer.{layer}.output.LayerNorm.weight',
    'feedForward.norm.bias': 'encoder.layer.{layer}.output.LayerNorm.bias',
  },
};

const FAMILIES: Readonly<Record<string, Family>> = { bert: BERT };

/** The values of config.json's model_type that can be loaded. */
export const supportedFamilies: readonly string[] = Object.keys(FAMILIES);

/**
 * Turns config.json and the names found in the weights files into what the packed block reads.
 * @param config config.json
 * @param tensors names of the tensors in the weights files
 * @param file path of config.json, for messages
 * @throws ListwiseError UNSUPPORTED for a family or a setting that the block does not compute
 * @throws ModelError if config.json lacks a field or the weights lack a tensor
 */
export function describeModel(config: Config, tensors: ReadonlySet<string>, file: string): DescribedModel {
  const family = familyOf(config, file);
  const architecture = readArchitecture(family, config, file);
  const names = withOldNormNames(withPrefix(family.weightNames, tensors, file), tensors);
  checkPresent(names, architecture.layers, tensors, file);
  return { family: config['model_type'] as string, architecture, weightNames: names };
}

function familyOf(config: Config, file: string): Family {
  const type = config['model_type'];
  if (typeof type !== 'string') {
    throw new ModelError(`${file}: expected a string for model_type but found ${describe(type)}.`);
  }
  const family = Object.hasOwn(FAMILIES, type) ? FAMILIES[type] : undefined;
  if (!family) {
    throw new ListwiseError(
      'UNSUPPORTED',
      `${file}: model_type "${type}" is not supported; supported: ${supportedFamilies.join(', ')}.`,
    );
  }
  return family;
}

function readArchitecture(family: Family, config: Config, file: string): Architecture {
  const size = (field: string) => positiveInteger(config, field, file);
  const architecture: Architecture = {
    vocabularySize: size(family.sizes.vocabularySize),
    hiddenSize: size(family.sizes.hiddenSize),
    layers: size(family.sizes.layers),
    heads: size(family.sizes.heads),
    intermediateSize: size(family.sizes.intermediateSize),
    maxPositions: size(family.sizes.maxPositions),
    tokenTypes: size(family.tokenTypes),
    layerNormEps: positiveNumber(config, family.layerNormEps, file),
    activation: readActivation(config, family.activation, file),
  };
  if (architecture.hiddenSize % architecture.heads !== 0) {
    throw new ModelError(
      `${file}: ${family.sizes.hiddenSize} ${architecture.hiddenSize} is no multiple of ${family.sizes.heads} ` +
        `${architecture.heads}.`,
    );
  }
  for (const [field, honoured] of Object.entries(family.required)) {
    const same = (value: unknown) => JSON.stringify(value) === JSON.stringify(config[field]);
    if (field in config && !honoured.some(same)) throw unsupported(file, field, config[field], honoured);
  }
  return architecture;
}

function readActivation(config: Config, field: string, file: string): Architecture['activation'] {
  const name = config[field];
  const known = typeof name === 'string' && Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
  if (!known) throw unsupported(file, field, name, Object.keys(ACTIVATIONS));
  return known;
}

function unsupported(file: string, field: string, value: unknown, honoured: readonly unknown[]): ListwiseError {
  const what = honoured.filter((one) => one !== null).map((one) => JSON.stringify(one));
  const expected = what.length > 0 ? `; supported: ${what.join(', ')}` : '';
  return new ListwiseError(
    'UNSUPPORTED',
    `${file}: ${field} ${typeof value === 'object' ? JSON.stringify(value) : describe(value)} is not supported${expected}.`,
  );
}

function positiveInteger(config: Config, field: string, file: string): number {
  const value = config[field];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1) {
    throw new ModelError(`${file}: expected a whole number above 0 for ${field} but found ${describe(value)}.`);
  }
  return value;
}

function positiveNumber(config: Config, field: string, file: string): number {
  const value = config[field];
  if (typeof value !== 'number' || !(value > 0)) {
    throw new ModelError(`${file}: expected a number above 0 for ${field} but found ${describe(value)}.`);
  }
  return value;
}

/** Files saved from a model with a head name its encoder's weights with a prefix such as `bert.`. */
function withPrefix(names: WeightNames, tensors: ReadonlySet<string>, file: string): WeightNames {
  const word = names['embeddings.word']!;
  const prefixes = [...tensors].filter((name) => name === word || name.endsWith(`.${word}`));
  if (prefixes.length === 0) {
    throw new ModelError(`The weights beside ${file} hold no tensor ${word}, so they are not those of this model.`);
  }
  if (prefixes.length > 1) {
    throw new ListwiseError(
      'UNSUPPORTED',
      `The weights beside ${file} hold more than one encoder: ${prefixes.join(', ')}. Save the one to be used alone.`,
    );
  }
  const prefix = prefixes[0]!.slice(0, -word.length);
  return Object.fromEntries(Object.entries(names).map(([role, name]) => [role, prefix + name]));
}

/** The first BERT files call LayerNorm's weight gamma and its bias beta. */
function withOldNormNames(names: WeightNames, tensors: ReadonlySet<string>): WeightNames {
  const entries = Object.entries(names).map(([role, name]) => {
    const old = name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta');
    return [role, !tensors.has(atLayer(name, 0)) && tensors.has(atLayer(old, 0)) ? old : name];
  });
  return Object.fromEntries(entries);
}

function checkPresent(names: WeightNames, layers: number, tensors: ReadonlySet<string>, file: string): void {
  const missing: string[] = [];
  for (const template of Object.values(names)) {
    const count = template.includes('{layer}') ? layers : 1;
    for (let layer = 0; layer < count; layer++) {
      const name = atLayer(template, layer);
      if (!tensors.has(name)) missing.push(name);
    }
  }
  if (missing.length === 0) return;
  const more = missing.length > 3 ? ` and ${missing.length - 3} more` : '';
  throw new ModelError(
    `The weights beside ${file} lack ${missing.slice(0, 3).join(', ')}${more}, which its config asks for.`,
  );
}

function atLayer(template: string, layer: number): string {
  return template.replace('{layer}', String(layer));
}

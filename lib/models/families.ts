import { describe, ListwiseError, ModelError } from '../errors.js';
import type { Architecture, WeightNames } from '../native.js';
import { BERT, DISTILBERT, MPNET, ROBERTA } from './families/bert.js';
import { Config } from './families/config.js';
import type { Family } from './families/family.js';
import { MODERNBERT } from './families/modernbert.js';
import { NEW } from './families/new.js';
import { T5 } from './families/t5.js';

/** What a model's config.json and weights file say, in the terms of the packed block. */
export interface DescribedModel {
  /** config.json's model_type. */
  family: string;
  architecture: Architecture;
  weightNames: WeightNames;
  /** Names in the weights file of what it holds under one of `weightNames`, too. */
  copies: string[];
  /** Longest text in tokens where nothing in the directory says; undefined where positions bound it. */
  usualLength: number | undefined;
}

/** By config.json's model_type. */
const FAMILIES: Readonly<Record<string, Family>> = {
  bert: BERT,
  roberta: ROBERTA,
  'xlm-roberta': ROBERTA,
  camembert: ROBERTA,
  distilbert: DISTILBERT,
  mpnet: MPNET,
  modernbert: MODERNBERT,
  new: NEW,
  gte: NEW,
  t5: T5,
};

/** The values of config.json's model_type that can be loaded. */
export const supportedFamilies: readonly string[] = Object.keys(FAMILIES);

/**
 * Turns config.json and the names found in the weights files into what the packed block reads.
 * @param fields config.json
 * @param tensors names of the tensors in the weights files
 * @param file path of config.json, for messages
 * @throws ListwiseError UNSUPPORTED for a family or a setting that the block does not compute
 * @throws ModelError if config.json lacks a field or the weights lack a tensor
 */
export function describeModel(
  fields: Record<string, unknown>,
  tensors: ReadonlySet<string>,
  file: string,
): DescribedModel {
  const config = new Config(fields, file);
  const family = familyOf(config);
  config.require(family.required);
  const architecture = family.architecture(config);
  const candidates = family.weightNames(config);
  const prefix = findPrefix(candidates, tensors, file);
  const names = withOldNormNames(findNames(candidates, prefix, tensors), tensors);
  checkPresent(names, architecture, { tensors, file });
  return {
    family: config.get('model_type') as string,
    architecture,
    weightNames: names,
    copies: Object.entries(candidates).flatMap(([key, all]) =>
      [all].flat().flatMap((name) => (prefix + name !== names[key] && tensors.has(prefix + name) ? prefix + name : [])),
    ),
    usualLength: family.usualLength,
  };
}

function familyOf(config: Config): Family {
  const type = config.get('model_type');
  if (typeof type !== 'string') {
    throw new ModelError(`${config.file}: expected a string for model_type but found ${describe(type)}.`);
  }
  const family = Object.hasOwn(FAMILIES, type) ? FAMILIES[type] : undefined;
  if (family) return family;
  throw new ListwiseError(
    'UNSUPPORTED',
    `${config.file}: model_type "${type}" is not supported; supported: ${supportedFamilies.join(', ')}.`,
  );
}

type Candidates = ReturnType<Family['weightNames']>;

/** Files saved from a model with a head put a prefix such as `bert.` before its encoder's names. */
function findPrefix(names: Candidates, tensors: ReadonlySet<string>, file: string): string {
  const words = [names['embeddings.word']!].flat();
  const found = [...tensors].flatMap((name) =>
    words.filter((word) => name === word || name.endsWith(`.${word}`)).map((word) => name.slice(0, -word.length)),
  );
  const prefixes = [...new Set(found)];
  if (prefixes.length === 0) {
    throw new ModelError(`The weights beside ${file} hold no tensor ${words[0]}, so they are not those of this model.`);
  }
  if (prefixes.length > 1) {
    const all = prefixes.map((prefix) => prefix + words[0]).join(', ');
    throw new ListwiseError(
      'UNSUPPORTED',
      `The weights beside ${file} hold more than one encoder: ${all}. Save the one to be used alone.`,
    );
  }
  return prefixes[0]!;
}

/** Names as the file has them. */
function findNames(names: Candidates, prefix: string, tensors: ReadonlySet<string>): WeightNames {
  const inFile = (candidates: string | readonly string[]) => {
    const all = [candidates].flat().map((name) => prefix + name);
    return all.find((name) => tensors.has(atLayer(name, 0))) ?? all[0]!;
  };
  return Object.fromEntries(Object.entries(names).map(([key, candidates]) => [key, inFile(candidates)]));
}

/** The first BERT files call LayerNorm's weight gamma and its bias beta. */
function withOldNormNames(names: WeightNames, tensors: ReadonlySet<string>): WeightNames {
  const entries = Object.entries(names).map(([key, name]) => {
    const old = name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta');
    return [key, !tensors.has(atLayer(name, 0)) && tensors.has(atLayer(old, 0)) ? old : name];
  });
  return Object.fromEntries(entries);
}

function checkPresent(
  names: WeightNames,
  { layers, normPlace }: Architecture,
  { tensors, file }: { tensors: ReadonlySet<string>; file: string },
): void {
  // Where norms come first, the embeddings' own norm is that of the first layer's attention.
  const skipsFirst = normPlace === 'before' && 'embeddings.norm.weight' in names;
  const missing = Object.entries(names).flatMap(([key, template]) => {
    const first = skipsFirst && key.startsWith('attention.norm.') ? 1 : 0;
    const count = template.includes('{layer}') ? layers : 1;
    const all = Array.from({ length: count - first }, (_, i) => atLayer(template, first + i));
    return all.filter((name) => !tensors.has(name));
  });
  if (missing.length === 0) return;
  const more = missing.length > 3 ? ` and ${missing.length - 3} more` : '';
  throw new ModelError(
    `The weights beside ${file} lack ${missing.slice(0, 3).join(', ')}${more}, which its config asks for.`,
  );
}

function atLayer(template: string, layer: number): string {
  return template.replace('{layer}', String(layer));
}

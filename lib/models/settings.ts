import { InvalidArgumentError } from '../errors.js';
import type { Pooling } from '../native.js';
import type { ModelDirectory } from './directory.js';
import { recipeFor } from './recipes.js';
import type { Tokenizer } from './tokenizer.js';

/** How texts become embeddings, settled from the caller's wishes, the model's directory and known models' recipes. */
export interface ModelSettings {
  pooling: Pooling;
  /** Whether embeddings get unit length. */
  normalize: boolean;
  queryPrefix: string;
  passagePrefix: string;
  /** Longest passage and query in tokens, special tokens included. */
  maxLength: number;
  queryMaxLength: number;
}

/** Every way of pooling there is. */
export const poolings: readonly Pooling[] = [
  ...(['mean', 'first-token', 'max', 'weighted-mean', 'last-token', 'mean-sqrt-length'] as const),
];

/**
 * Settles each setting: what the caller asks for, else what the directory says, else the recipe of a model known by
 * name, else sentence-transformers' own default (mean pooling, no prefix). Unit length is the default whatever
 * modules.json says, since scores here are inner products.
 * @param name the model's name as the caller gave it
 */
export function settleSettings(
  name: string,
  directory: ModelDirectory,
  wishes: Partial<ModelSettings> = {},
): ModelSettings {
  const recipe = recipeFor(name);
  const { architecture, maxLength, queryMaxLength, saysLengths } = directory;
  const known = saysLengths || !recipe?.maxLength ? undefined : Math.min(recipe.maxLength, architecture.maxPositions);
  return {
    pooling: wishes.pooling ?? directory.pooling ?? recipe?.pooling ?? 'mean',
    normalize: wishes.normalize ?? true,
    queryPrefix: wishes.queryPrefix ?? directory.prompts.query ?? recipe?.queryPrefix ?? '',
    passagePrefix: wishes.passagePrefix ?? directory.prompts.passage ?? recipe?.passagePrefix ?? '',
    maxLength: wishes.maxLength ?? known ?? maxLength,
    queryMaxLength: wishes.queryMaxLength ?? wishes.maxLength ?? known ?? queryMaxLength,
  };
}

/** @throws InvalidArgumentError naming the first setting with a value that cannot be */
export function checkSettings(settings: ModelSettings, tokenizer: Tokenizer): void {
  if (!poolings.includes(settings.pooling)) {
    throw new InvalidArgumentError('pooling', poolings.map((one) => `'${one}'`).join(' or '), settings.pooling);
  }
  if (typeof settings.normalize !== 'boolean') {
    throw new InvalidArgumentError('normalize', 'true or false', settings.normalize);
  }
  for (const field of ['queryPrefix', 'passagePrefix'] as const) {
    if (typeof settings[field] !== 'string') throw new InvalidArgumentError(field, 'a string', settings[field]);
  }
  tokenizer.checkMaxLength(settings.maxLength);
  tokenizer.checkMaxLength(settings.queryMaxLength, 'queryMaxLength');
}

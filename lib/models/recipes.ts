import type { Pooling } from '../native.js';

/** What is put before texts, how much of them is read, and how token states become one embedding, for a model known by name. */
export interface Recipe {
  /** For messages: which models these are. */
  models: string;
  /** Put before each query, with its trailing space. */
  queryPrefix: string;
  /** Put before each passage, with its trailing space. */
  passagePrefix: string;
  /** Used only where the model's directory does not say. */
  pooling: Pooling;
  /** Longest text in tokens, special tokens included, where the card says; used only where the directory does not. */
  maxLength?: number;
}

interface NamedRecipe extends Recipe {
  /** Tried on the last part of the model's name or path, in lower case. */
  pattern: RegExp;
}

const REPRESENT = 'Represent this sentence for searching relevant passages: ';

/** Prefixes, pooling and lengths as the models' own cards give them, for models of the families that are computed here. */
const RECIPES: readonly NamedRecipe[] = [
  {
    models: 'BGE (English)',
    pattern: /^bge-(small|base|large)-en(-v1\.5)?$/,
    queryPrefix: REPRESENT,
    passagePrefix: '',
    pooling: 'first-token',
    maxLength: 512,
  },
  {
    models: 'Snowflake Arctic Embed',
    pattern: /^snowflake-arctic-embed-(xs|s|m|l)(-v1\.5)?$/,
    queryPrefix: REPRESENT,
    passagePrefix: '',
    pooling: 'first-token',
    maxLength: 512,
  },
  {
    models: 'Snowflake Arctic Embed 2.0',
    pattern: /^snowflake-arctic-embed-(m|l)-v2\.0$/,
    queryPrefix: 'query: ',
    passagePrefix: '',
    pooling: 'first-token',
    maxLength: 8192,
  },
  {
    models: 'BGE M3 (dense)',
    pattern: /^bge-m3$/,
    queryPrefix: '',
    passagePrefix: '',
    pooling: 'first-token',
    maxLength: 8192,
  },
  {
    models: 'GTE',
    pattern: /^gte-(small|base|large)$/,
    queryPrefix: '',
    passagePrefix: '',
    pooling: 'mean',
    maxLength: 512,
  },
  {
    models: 'GTE 1.5, multilingual and ModernBERT',
    pattern: /^gte-((base|large)-en-v1\.5|multilingual-base|modernbert-base)$/,
    queryPrefix: '',
    passagePrefix: '',
    pooling: 'first-token',
    maxLength: 8192,
  },
  {
    models: 'E5',
    // The instruct models want another prefix for each task.
    pattern: /^(e5-(small|base|large)(-v2|-unsupervised)?|multilingual-e5-(small|base|large))$/,
    queryPrefix: 'query: ',
    passagePrefix: 'passage: ',
    pooling: 'mean',
    maxLength: 512,
  },
  {
    models: 'ModernBERT Embed',
    pattern: /^modernbert-embed-(base|large)$/,
    queryPrefix: 'search_query: ',
    passagePrefix: 'search_document: ',
    pooling: 'mean',
    maxLength: 8192,
  },
  {
    models: 'all-MiniLM',
    pattern: /^all-minilm-l\d+-v\d+$/,
    queryPrefix: '',
    passagePrefix: '',
    pooling: 'mean',
    maxLength: 256,
  },
  {
    models: 'all-mpnet',
    pattern: /^all-mpnet-base-v\d+$/,
    queryPrefix: '',
    passagePrefix: '',
    pooling: 'mean',
    maxLength: 384,
  },
  {
    models: 'all-distilroberta, all-roberta',
    pattern: /^all-(distilroberta|roberta-large)-v\d+$/,
    queryPrefix: '',
    passagePrefix: '',
    pooling: 'mean',
    maxLength: 128,
  },
  {
    models: 'Sentence-T5 and GTR',
    pattern: /^(sentence|gtr)-t5-(base|large|xl|xxl)$/,
    queryPrefix: '',
    passagePrefix: '',
    pooling: 'mean',
  },
];

/**
 * The recipe of a model known by name, if there is one.
 * @param name a Hub name (`BAAI/bge-small-en-v1.5`) or a path; its last part is compared, whatever its case
 */
export function recipeFor(name: string): Recipe | undefined {
  const last =
    name
      .split(/[\\/]+/)
      .filter(Boolean)
      .at(-1)
      ?.toLowerCase() ?? '';
  const found = RECIPES.find((recipe) => recipe.pattern.test(last));
  if (!found) return undefined;
  const { pattern: _, ...recipe } = found;
  return recipe;
}

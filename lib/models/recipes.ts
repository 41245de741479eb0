import type { Pooling } from '../native.js';

/** What is put before texts, and how token states become one embedding, for a model known by name. */
export interface Recipe {
  /** For messages: which models these are. */
  models: string;
  /** Put before each query, with its trailing space. */
  queryPrefix: string;
  /** Put before each passage, with its trailing space. */
  passagePrefix: string;
  /** Used only where the model's directory does not say. */
  pooling: Pooling;
}

interface NamedRecipe extends Recipe {
  /** Tried on the last part of the model's name or path, in lower case. */
  pattern: RegExp;
}

const REPRESENT = 'Represent this sentence for searching relevant passages: ';

/** Prefixes and pooling as the models' own cards give them, for models of the families that are computed here. */
const RECIPES: readonly NamedRecipe[] = [
  {
    models: 'BGE (English)',
    pattern: /^bge-(small|base|large)-en(-v1\.5)?$/,
    queryPrefix: REPRESENT,
    passagePrefix: '',
    pooling: 'first-token',
  },
  {
    models: 'Snowflake Arctic Embed',
    pattern: /^snowflake-arctic-embed-(xs|s|m|l)(-v1\.5)?$/,
    queryPrefix: REPRESENT,
    passagePrefix: '',
    pooling: 'first-token',
  },
  { models: 'GTE', pattern: /^gte-(small|base|large)$/, queryPrefix: '', passagePrefix: '', pooling: 'mean' },
  {
    models: 'E5',
    // Of the multilingual ones the small one alone is a BERT.
    pattern: /^(e5-(small|base|large)(-v2|-unsupervised)?|multilingual-e5-small)$/,
    queryPrefix: 'query: ',
    passagePrefix: 'passage: ',
    pooling: 'mean',
  },
  { models: 'all-MiniLM', pattern: /^all-minilm-l\d+-v\d+$/, queryPrefix: '', passagePrefix: '', pooling: 'mean' },
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

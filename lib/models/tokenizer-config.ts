import { join } from 'node:path';
import { describe, ModelError } from '../errors.js';
import { readConfigObject } from './config-file.js';
import type { ModelDirectory } from './directory.js';

type Json = Record<string, unknown>;

/** What a tokenizer needs to know of a model. */
export type TokenizerModel = Pick<ModelDirectory, 'directory' | 'transformerPath' | 'family' | 'lowerCase'> & {
  architecture: Pick<ModelDirectory['architecture'], 'vocabularySize' | 'maxPositions' | 'tokenTypes'>;
};

/** tokenizer.json with what tokenizer_config.json says beside it. */
export interface SettledTokenizer {
  /** tokenizer.json as it is used: without padding and truncation, which are for the caller to decide. */
  definition: Json;
  /** The end that is cut off texts which are too long. */
  truncationSide: 'left' | 'right';
  /** Whether Python gives the model the types of a pair's tokens, and the model reads them. */
  givesTypes: boolean;
}

/** transformers' classes that give types where tokenizer_config.json has no model_input_names. */
const TYPED_CLASS = /^(Bert|BertJapanese|Electra|MobileBert|RemBert|Deberta|DebertaV2)Tokenizer(Fast)?$/;

/**
 * Settles what tokenizer.json and tokenizer_config.json say together, as transformers does.
 * @param definition tokenizer.json
 * @throws ModelError for a truncation_side or model_input_names that cannot be
 */
export async function settleTokenizer(definition: Json, model: TokenizerModel): Promise<SettledTokenizer> {
  const file = join(model.directory, model.transformerPath, 'tokenizer_config.json');
  const config = (await readConfigObject(file)) ?? {};
  const normalizer = settledNormalizer(definition['normalizer'] as Json | null, { config, lowerCase: model.lowerCase });
  return {
    // A stored padding would even fill short texts.
    definition: { ...definition, normalizer, truncation: null, padding: null },
    truncationSide: truncationSide(definition['truncation'] as Json | null, { config, file }),
    givesTypes: model.architecture.tokenTypes > 1 && namesTypes(model, { config, file }),
  };
}

/** tokenizer_config.json's word, else that of the truncation stored in tokenizer.json. */
function truncationSide(
  stored: Json | null | undefined,
  { config, file }: { config: Json; file: string },
): SettledTokenizer['truncationSide'] {
  const side = config['truncation_side'] ?? String(stored?.['direction'] ?? 'right').toLowerCase();
  if (side === 'left' || side === 'right') return side;
  throw new ModelError(`${file}: expected "left" or "right" for truncation_side but found ${describe(side)}.`);
}

function namesTypes({ family }: TokenizerModel, { config, file }: { config: Json; file: string }): boolean {
  const names = config['model_input_names'] ?? undefined;
  if (Array.isArray(names)) return names.includes('token_type_ids');
  if (names !== undefined) {
    throw new ModelError(`${file}: expected a list for model_input_names but found ${describe(names)}.`);
  }
  const name = config['tokenizer_class'] ?? undefined;
  return name === undefined ? family === 'bert' : TYPED_CLASS.test(String(name));
}

/**
 * The normalizer that Python would use: BERT's settings in tokenizer_config.json overrule those in tokenizer.json,
 * and sentence-transformers' do_lower_case lower-cases first.
 */
function settledNormalizer(
  normalizer: Json | null,
  { config, lowerCase }: { config: Json; lowerCase: boolean },
): Json | null {
  let settled = normalizer;
  if (settled?.['type'] === 'BertNormalizer') {
    const { do_lower_case, strip_accents, tokenize_chinese_chars } = config;
    settled = {
      ...settled,
      lowercase: do_lower_case ?? settled['lowercase'],
      strip_accents: strip_accents ?? settled['strip_accents'],
      handle_chinese_chars: tokenize_chinese_chars ?? settled['handle_chinese_chars'],
    };
  }
  if (!lowerCase) return settled;
  const rest = settled?.['type'] === 'Sequence' ? (settled['normalizers'] as Json[]) : settled ? [settled] : [];
  return { type: 'Sequence', normalizers: [{ type: 'Lowercase' }, ...rest] };
}

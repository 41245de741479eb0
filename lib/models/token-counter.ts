import type { CountTokens } from '../corpus/splitter.js';
import { readCrossEncoderDirectory } from './cross-encoder-directory.js';
import { readModelDirectory } from './directory.js';
import { Tokenizer } from './tokenizer.js';
import type { TokenizerModel } from './tokenizer-config.js';

/** Counts tokens as a model in a directory does; its tokenizer is loaded when it is first asked. */
export function tokenCounter(modelDirectory: string, signal?: AbortSignal): CountTokens {
  let tokenizer: Promise<Tokenizer> | undefined;
  return async (texts) => {
    tokenizer ??= readEither(modelDirectory).then((model) => Tokenizer.load(model));
    return (await tokenizer).count(texts, { signal });
  };
}

/** An embedding model, or else a cross-encoder. @throws what the former is refused by, if it is neither */
async function readEither(directory: string): Promise<TokenizerModel> {
  try {
    return await readModelDirectory(directory);
  } catch (error) {
    return readCrossEncoderDirectory(directory).catch(() => {
      throw error;
    });
  }
}

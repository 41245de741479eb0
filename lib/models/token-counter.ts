import type { CountTokens } from '../corpus/splitter.js';
import { readModelDirectory } from './directory.js';
import { Tokenizer } from './tokenizer.js';

/** Counts tokens as a model in a directory does; its tokenizer is loaded when it is first asked. */
export function tokenCounter(modelDirectory: string, signal?: AbortSignal): CountTokens {
  let tokenizer: Promise<Tokenizer> | undefined;
  return async (texts) => {
    tokenizer ??= readModelDirectory(modelDirectory).then((model) => Tokenizer.load(model));
    return (await tokenizer).count(texts, { signal });
  };
}

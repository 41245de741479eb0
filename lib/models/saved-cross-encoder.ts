import { rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { runJob } from '../native.js';
import type { CrossEncoderModel } from './cross-encoder.js';
import { checkSaveTarget, moduleFolders } from './save-target.js';
import { copyBase, fillDirectory, type SaveOptions, settleNumberType } from './saved-model.js';
import { copyBeside } from './weights.js';

/** Where a saved cross-encoder keeps its weights, those of its head among them. */
export function scorerWeightsFile({ directory }: CrossEncoderModel, saved: string): string {
  return join(saved, directory.transformerPath, 'model.safetensors');
}

/**
 * Saves a cross-encoder as transformers and sentence-transformers read it: the base directory's configuration and
 * tokeniser with this model's weights. The directory is whole or as it was before.
 * @param target a new or empty directory, or an earlier cross-encoder, which is replaced
 * @throws InvalidArgumentError if `target` holds anything else or lies inside the base directory
 */
export async function saveCrossEncoder(model: CrossEncoderModel, target: string, options: SaveOptions): Promise<void> {
  const place = resolve(target);
  const base = model.directory.directory;
  await checkSaveTarget(place, base, 'directory', 'config.json');
  await fillDirectory(place, async (beside) => {
    await copyBase(base, beside, await moduleFolders(base));
    await settleNumberType(join(beside, model.directory.transformerPath, 'config.json'));
    await writeFile(join(beside, 'README.md'), cardOf(options.card));
    await writeScorerWeights(model, beside, options);
  });
}

/**
 * Replaces the weights, and only these, of a directory that saveCrossEncoder wrote from the same model.
 * @param weights a file that save() of this model's encoder wrote, to take in place of the weights as they are now
 */
export async function writeScorerWeights(
  model: CrossEncoderModel,
  saved: string,
  { weights, signal }: { weights?: string; signal?: AbortSignal } = {},
): Promise<void> {
  const place = scorerWeightsFile(model, saved);
  if (weights !== undefined) return copyBeside(weights, place);
  const beside = `${place}.${process.pid}.tmp`;
  try {
    await runJob(() => model.encoder.save({ file: beside }), signal);
    await rename(beside, place);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

function cardOf(text: string): string {
  const head = ['---', 'library_name: sentence-transformers', 'pipeline_tag: text-ranking'];
  return [...head, 'tags: [sentence-transformers, cross-encoder, reranker, listwise]', '---', '', text.trim(), ''].join(
    '\n',
  );
}

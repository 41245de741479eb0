import { constants } from 'node:fs';
import { copyFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Device, type NativeEncoder, native, runJob } from '../native.js';
import { denseSpecs } from './dense-module.js';
import { type EmbeddingModel, encoderSpec } from './model.js';

/** Where a saved model keeps its transformer's weights. */
export function weightsFile(model: EmbeddingModel, directory: string): string {
  return join(directory, model.directory.transformerPath, 'model.safetensors');
}

/**
 * Replaces the weights, and only these, of a directory that saveModel wrote from the same model.
 * @param weights a file that save() of this model's encoder wrote, to take in place of the weights as they are now
 */
export async function writeWeights(
  model: EmbeddingModel,
  directory: string,
  { weights, signal }: { weights?: string; signal?: AbortSignal } = {},
): Promise<void> {
  if (weights === undefined) return saveSplit(model.encoder, { model, directory, signal });
  if (model.directory.dense.length === 0) return copyBeside(weights, weightsFile(model, directory));
  const { dense } = model.directory;
  const encoder = await loadFrom(model, { files: [weights], dense: denseSpecs(dense), signal });
  try {
    await saveSplit(encoder, { model, directory, signal });
  } finally {
    encoder.dispose();
  }
}

/**
 * The weights of a directory that saveModel wrote, as one file: the transformer's own where there is nothing else, or
 * written anew with the dense layers in it.
 */
export function wholeWeights(
  model: EmbeddingModel,
  directory: string,
  signal?: AbortSignal,
): { file: string } | ((file: string) => Promise<void>) {
  const own = weightsFile(model, directory);
  const { dense } = model.directory;
  if (dense.length === 0) return { file: own };
  return async (file) => {
    const saved = denseSpecs(dense).map((spec, i) => ({ ...spec, file: denseFile(directory, dense[i]!.path) }));
    const encoder = await loadFrom(model, { files: [own], dense: saved, signal });
    try {
      await runJob(() => encoder.save({ file }), signal);
    } finally {
      encoder.dispose();
    }
  };
}

function denseFile(directory: string, path: string): string {
  return join(directory, path, 'model.safetensors');
}

type Source = Pick<ReturnType<typeof encoderSpec>, 'files' | 'dense'> & { signal: AbortSignal | undefined };

async function loadFrom(model: EmbeddingModel, { signal, ...source }: Source): Promise<NativeEncoder> {
  const { precision, device } = model.encoder;
  const place = { precision, device: device as Device };
  return runJob(() => native().loadEncoder({ ...encoderSpec(model.directory), ...source, ...place }), signal);
}

/** Puts a copy in a file's place, which may be linked to: what is behind it must not change. */
export async function copyBeside(from: string, place: string): Promise<void> {
  const beside = `${place}.${process.pid}.tmp`;
  try {
    await copyFile(from, beside, constants.COPYFILE_FICLONE);
    await rename(beside, place);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** Writes each module's file beside, then puts them in their places. */
async function saveSplit(
  encoder: NativeEncoder,
  { model, directory, signal }: { model: EmbeddingModel; directory: string; signal: AbortSignal | undefined },
): Promise<void> {
  const dense = model.directory.dense.map(({ path }) => denseFile(directory, path));
  const places = [weightsFile(model, directory), ...dense];
  const [file, ...denseFiles] = places.map((place) => `${place}.${process.pid}.tmp`);
  try {
    await runJob(() => encoder.save({ file: file!, denseFiles }), signal);
    for (const [i, beside] of [file!, ...denseFiles].entries()) await rename(beside, places[i]!);
  } catch (error) {
    await Promise.all([file!, ...denseFiles].map((beside) => rm(beside, { force: true })));
    throw error;
  }
}

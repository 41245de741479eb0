import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ListwiseError, ModelError } from '../errors.js';
import { readConfigObject } from './config-file.js';
import { readSafetensorsHeader, type TensorInfo } from './safetensors.js';

export interface WeightFiles {
  /** Absolute or as the directory was given. */
  files: string[];
  tensors: Map<string, TensorInfo>;
}

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** By which PEFT's adapters are known. */
const ADAPTER = 'adapter_config.json';

/**
 * transformers adds an adapter's weights to those of the model that the adapter names, wherever it finds one.
 * @throws ListwiseError UNSUPPORTED if the directory holds one, whatever else it holds
 */
export async function checkNoAdapter(directory: string): Promise<void> {
  if (await exists(join(directory, ADAPTER))) throw adapterRefusal(directory);
}

/** @param where the directory or repository that holds an adapter */
export function adapterRefusal(where: string): ListwiseError {
  return new ListwiseError(
    'UNSUPPORTED',
    `${where} holds a PEFT adapter (${ADAPTER}), whose weights are to be added to another model's; that is not ` +
      'supported. Merge them once in Python: load the model, call merge_and_unload() on it, and save it to a new directory.',
  );
}

/**
 * Finds a directory's weights: model.safetensors, or the shards that model.safetensors.index.json names.
 * @throws ModelError if there are none, or a shard is missing; ListwiseError UNSUPPORTED if there are pickles only
 */
export async function findWeights(directory: string): Promise<WeightFiles> {
  const files = await weightFiles(directory);
  const tensors = new Map<string, TensorInfo>();
  for (const file of files) {
    for (const [name, info] of await readSafetensorsHeader(file)) tensors.set(name, info);
  }
  return { files, tensors };
}

async function weightFiles(directory: string): Promise<string[]> {
  const single = join(directory, SINGLE);
  if (await exists(single)) return [single];
  const indexFile = join(directory, INDEX);
  const index = await readConfigObject(indexFile);
  if (!index) throw await noWeights(directory);
  const map = index['weight_map'];
  if (typeof map !== 'object' || map === null || Object.keys(map).length === 0) {
    throw new ModelError(`${indexFile}: expected an object that names shards for weight_map.`);
  }
  const shards = [...new Set(Object.values(map as Record<string, string>))].sort();
  for (const shard of shards) {
    if (!(await exists(join(directory, shard)))) {
      throw new ModelError(`${indexFile} names the shard ${shard}, which is not in ${directory}; download it again.`);
    }
  }
  return shards.map((shard) => join(directory, shard));
}

async function noWeights(directory: string): Promise<ListwiseError> {
  const names = await readdir(directory);
  const pickles = names.filter((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  if (pickles.length > 0) {
    return new ListwiseError(
      'UNSUPPORTED',
      `${directory} holds weights as ${pickles.join(', ')} only, and pickles are not read because they can run code. ` +
        `Convert them once in Python: SentenceTransformer("${directory}").save("NEW_DIRECTORY").`,
    );
  }
  return new ModelError(`${directory} holds no weights: expected ${SINGLE} or ${INDEX}.`);
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isFile(),
    () => false,
  );
}

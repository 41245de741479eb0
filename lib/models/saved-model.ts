import { constants } from 'node:fs';
import { copyFile, cp, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { writing } from '../formats/writing.js';
import { readConfig, readConfigObject, writeChangedConfig } from './config-file.js';
import type { EmbeddingModel } from './model.js';
import { POOLING_FLAGS, POOLING_MODES } from './modules.js';
import { checkSaveTarget, isConfiguration, type ModuleFolders, moduleFolders } from './save-target.js';
import { writeWeights } from './weights.js';

export interface SaveOptions {
  /** What the card (README.md) says about the weights, in Markdown. */
  card: string;
  /** A safetensors file that save() of this model's encoder wrote, to take in place of the weights as they are now. */
  weights?: string;
  signal?: AbortSignal;
}

/**
 * Saves a model in sentence-transformers' layout: the base directory's configuration and tokeniser with this model's
 * weights, pooling, prompts and a Normalize module where embeddings have unit length. The directory is whole or as it
 * was before.
 * @param target a new or empty directory, or an earlier model, which is replaced
 * @throws InvalidArgumentError if `target` holds anything else or lies inside the base directory
 */
export async function saveModel(model: EmbeddingModel, target: string, options: SaveOptions): Promise<void> {
  const place = resolve(target);
  const base = model.directory.directory;
  await checkSaveTarget(place, base);
  await fillDirectory(place, async (beside) => {
    await copyBase(base, beside, await moduleFolders(base));
    await writeModules(model, beside);
    await writePrompts(model, beside);
    await settleNumberType(join(beside, model.directory.transformerPath, 'config.json'));
    await writeFile(join(beside, 'README.md'), modelCard(model, options.card));
    await writeWeights(model, beside, options);
  });
}

/**
 * Copies a directory that saveModel wrote, by reference where the file system can.
 * @param target a new directory, or an earlier model, which is replaced
 * @throws InvalidArgumentError if `target` holds anything else; WriteError
 */
export async function copyModel(from: string, target: string): Promise<void> {
  const place = resolve(target);
  await checkSaveTarget(place, from);
  await fillDirectory(place, (beside) => cp(from, beside, { recursive: true, mode: constants.COPYFILE_FICLONE }));
}

/**
 * Has a directory filled beside its place and puts it there, so that it is whole or as it was before.
 * @throws WriteError, and what `fill` throws
 */
export async function fillDirectory(place: string, fill: (beside: string) => Promise<void>): Promise<void> {
  const beside = join(dirname(place), `.${basename(place)}.${process.pid}.tmp`);
  try {
    await writing(place, async () => {
      await rm(beside, { recursive: true, force: true });
      await fill(beside);
      await replaceDirectory(beside, place);
    });
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
}

/** Copies what any weights need: configuration and tokeniser, and those of the modules in folders of their own. */
export async function copyBase(from: string, to: string, isModule: ModuleFolders, prefix = ''): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, copy, path] = [join(from, entry.name), join(to, entry.name), prefix + entry.name];
    if (entry.isDirectory()) {
      if (isModule(path)) await copyBase(source, copy, isModule, `${path}/`);
    } else if (isConfiguration(entry.name)) {
      // The Hub's cache holds links to files; copyFile follows them.
      await copyFile(source, copy);
    }
  }
}

async function writeModules(model: EmbeddingModel, directory: string): Promise<void> {
  const { layout, pooling, normalize, transformerPath, dense } = model.directory;
  const { settings } = model;
  if (layout === 'sentence-transformers' && pooling === settings.pooling && normalize === settings.normalize) return;
  const modules = [
    ['Transformer', transformerPath],
    ['Pooling', '1_Pooling'],
    ...dense.map(({ path }) => ['Dense', path]),
    ...(settings.normalize ? [['Normalize', `${2 + dense.length}_Normalize`]] : []),
  ];
  const entries = modules.map(([kind, path], idx) => ({
    idx,
    name: String(idx),
    path,
    type: `sentence_transformers.models.${kind}`,
  }));
  await writeJson(join(directory, 'modules.json'), entries);
  await mkdir(join(directory, '1_Pooling'), { recursive: true });
  await writeJson(join(directory, '1_Pooling', 'config.json'), poolingConfig(model));
  if (layout === 'plain') {
    await writeJson(join(directory, 'sentence_bert_config.json'), {
      max_seq_length: settings.maxLength,
      do_lower_case: false,
    });
  }
}

/** By the older flags, which every version of sentence-transformers reads. */
function poolingConfig({ directory, settings }: EmbeddingModel): Record<string, unknown> {
  const flags = Object.entries(POOLING_FLAGS).map(([flag, mode]) => [flag, POOLING_MODES[mode] === settings.pooling]);
  return { word_embedding_dimension: directory.architecture.hiddenSize, ...Object.fromEntries(flags) };
}

/** The prefixes that the weights were made with, under the names that encode_query and encode_document look for. */
async function writePrompts(model: EmbeddingModel, directory: string): Promise<void> {
  const file = join(directory, 'config_sentence_transformers.json');
  const config = (await readConfigObject(file)) ?? {};
  const { passage: _, corpus: __, ...prompts } = (config['prompts'] ?? {}) as Record<string, string>;
  const { queryPrefix: query, passagePrefix: document } = model.settings;
  const named = config['default_prompt_name'] ?? null;
  await writeJson(file, {
    similarity_fn_name: 'cosine',
    ...config,
    prompts: { ...prompts, query, document },
    // Python does not open a model whose default prompt is none of its prompts.
    default_prompt_name: named === 'passage' || named === 'corpus' ? 'document' : named,
  });
}

/** Weights are saved as fp32, so config.json must not announce halves, to which Python would round them. */
export async function settleNumberType(file: string): Promise<void> {
  const config = (await readConfig(file)) as Record<string, unknown>;
  const named = ['dtype', 'torch_dtype'].filter((field) => field in config);
  if (named.every((field) => config[field] === 'float32')) return;
  const settled = Object.fromEntries(named.map((field) => [field, 'float32']));
  await writeChangedConfig(file, file, (fields) => ({ ...fields, ...settled }));
}

function modelCard(model: EmbeddingModel, text: string): string {
  const isHubName = /^[\w.-]+\/[\w.-]+$/.test(model.name) && resolve(model.name) !== resolve(model.directory.directory);
  const { queryPrefix, passagePrefix } = model.settings;
  const prefixes = [
    queryPrefix && `Queries are encoded with \`${queryPrefix}\` before them (\`encode_query\` does it).`,
    passagePrefix && `Passages are encoded with \`${passagePrefix}\` before them (\`encode_document\` does it).`,
  ].filter(Boolean);
  return [
    '---',
    'library_name: sentence-transformers',
    'pipeline_tag: sentence-similarity',
    ...(isHubName ? [`base_model: ${model.name}`] : []),
    'tags: [sentence-transformers, sentence-similarity, feature-extraction, listwise]',
    '---',
    '',
    text.trim(),
    ...(prefixes.length > 0 ? ['', ...prefixes] : []),
    '',
  ].join('\n');
}

export async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFile(file, `${JSON.stringify(value, null, 2)}\n`);
}

/** Puts a directory in another's place. Between the two renames neither is there under the name, but both are whole. */
async function replaceDirectory(from: string, to: string): Promise<void> {
  const old = join(dirname(to), `.${basename(to)}.${process.pid}.old`);
  await rm(old, { recursive: true, force: true });
  const hadOld = await rename(to, old).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  try {
    await rename(from, to);
  } catch (error) {
    if (hadOld) await rename(old, to);
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}

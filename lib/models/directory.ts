import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelError, NotFoundError } from '../errors.js';
import type { Architecture, Pooling, WeightNames } from '../native.js';
import { optionalField, readConfigObject } from './config-file.js';
import { checkDenseWidths, type DenseModule } from './dense-module.js';
import { type DescribedModel, describeModel } from './families.js';
import { readModules, type SentenceModules } from './modules.js';
import { readSentenceConfig } from './sentence-config.js';
import { readTransformerSettings, type TransformerSettings } from './transformer-config.js';
import { checkNoAdapter, findWeights } from './weight-files.js';

/** What a model's directory says, in sentence-transformers' layout or transformers' plain one. */
export interface ModelDirectory {
  directory: string;
  /** Where config.json, weights and tokenizer lie, relative to `directory`; '' is the directory itself. */
  transformerPath: string;
  /** 'plain' is a directory without modules.json, as transformers saves them. */
  layout: 'sentence-transformers' | 'plain';
  /** config.json's model_type. */
  family: string;
  architecture: Architecture;
  weightNames: WeightNames;
  /** Further names of a weight in the files, which hold it more than once. */
  copies: string[];
  weightFiles: string[];
  /** Undefined in a plain directory, which does not say. */
  pooling: Pooling | undefined;
  /** Dense modules after pooling, in their order. */
  dense: DenseModule[];
  /** Whether modules.json ends in a Normalize module. */
  normalize: boolean;
  /** Prompts by kind, where config_sentence_transformers.json names them; '' means none on purpose. */
  prompts: { query: string | undefined; passage: string | undefined };
  /** Longest text in tokens, special tokens included; never above the architecture's positions. */
  maxLength: number;
  queryMaxLength: number;
  /** Whether anything in the directory says the lengths; else they are the most that the architecture reads. */
  saysLengths: boolean;
  lowerCase: boolean;
}

/** Names under which prompts for passages are kept, in sentence-transformers' order. */
const PASSAGE_PROMPTS = ['document', 'passage', 'corpus'];

/**
 * Reads a model directory whole. Whatever in it changes embeddings and is not computed here is refused by name.
 * @param directory a local directory
 * @throws NotFoundError if it is not there
 * @throws ModelError if files are missing, broken or do not fit together
 * @throws ListwiseError UNSUPPORTED for families, modules and settings that are not computed here
 */
export async function readModelDirectory(directory: string): Promise<ModelDirectory> {
  await requireDirectory(directory);
  const modules = await readModules(directory);
  const transformer = join(directory, modules?.transformerPath ?? '');
  await checkNoAdapter(transformer);
  const configFile = join(transformer, 'config.json');
  const config = await readConfigObject(configFile);
  if (!config) {
    throw new ModelError(
      `${configFile} is missing, so ${directory} is no model directory: expected config.json there.`,
    );
  }
  const weights = await findWeights(transformer);
  if (!modules) checkNoScorer(directory, config, weights.tensors);
  const described = describeModel(config, new Set(weights.tensors.keys()), configFile);
  checkWidth(modules, described.architecture.hiddenSize, configFile);
  checkDenseWidths(modules?.dense ?? [], described.architecture.hiddenSize);
  for (const { path } of modules?.dense ?? []) await findWeights(join(directory, path));
  return {
    directory,
    transformerPath: modules?.transformerPath ?? '',
    layout: modules ? 'sentence-transformers' : 'plain',
    ...described,
    weightFiles: weights.files,
    pooling: modules?.pooling,
    dense: modules?.dense ?? [],
    normalize: modules?.normalize ?? false,
    prompts: await readPrompts(directory),
    ...(await readLengths(transformer, described)),
  };
}

/** A plain directory does not say what it is for, but a classifier on the encoder does: its states were not trained to be pooled. */
function checkNoScorer(
  directory: string,
  { architectures }: Record<string, unknown>,
  tensors: ReadonlyMap<string, unknown>,
): void {
  const name = String(Array.isArray(architectures) ? architectures[0] : architectures);
  const hasClassifier = tensors.has('classifier.weight') || tensors.has('classifier.out_proj.weight');
  if (!name.endsWith('ForSequenceClassification') || !hasClassifier) return;
  throw new ModelError(
    `${directory} is a ${name}: a cross-encoder or another classifier, and no embedding model. Give an embedding model ` +
      'here; a cross-encoder is for reranking, or a teacher.',
  );
}

/** @throws NotFoundError if it is not there; ModelError if it is a file */
export async function requireDirectory(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined);
  if (!found) throw new NotFoundError(`There is no model directory ${directory}; check the path.`);
  if (!found.isDirectory()) {
    throw new ModelError(`Expected a model directory but ${directory} is a file; give the directory that holds it.`);
  }
}

function checkWidth(modules: SentenceModules | undefined, hiddenSize: number, configFile: string): void {
  if (modules?.width !== undefined && modules.width !== hiddenSize) {
    throw new ModelError(
      `${modules.poolingFile} expects embeddings of ${modules.width} numbers, but hidden_size in ${configFile} is ${hiddenSize}.`,
    );
  }
}

/**
 * As sentence-transformers' encode_query and encode_document have them: a default prompt (default_prompt_name) is for
 * texts that are neither.
 */
async function readPrompts(directory: string): Promise<ModelDirectory['prompts']> {
  const { prompts } = await readSentenceConfig(directory, 'SentenceTransformer');
  // sentence-transformers writes "document": "" where nobody set it, also beside a "passage" that somebody did.
  const passages = PASSAGE_PROMPTS.map((name) => prompts[name]).filter((text) => text !== undefined);
  return { query: prompts['query'], passage: passages.find((text) => text !== '') ?? passages[0] };
}

/** transformers writes 1e30 where a tokenizer has no limit. */
const NO_LENGTH = 1e20;

/** As sentence-transformers does: max_seq_length, else the tokenizer's own limit, never above the positions. */
async function readLengths(
  transformer: string,
  { architecture: { maxPositions }, usualLength = maxPositions }: DescribedModel,
): Promise<Pick<ModelDirectory, 'maxLength' | 'queryMaxLength' | 'saysLengths' | 'lowerCase'>> {
  const settings: TransformerSettings = await readTransformerSettings(transformer);
  const tokenizerFile = join(transformer, 'tokenizer_config.json');
  const tokenizer = (await readConfigObject(tokenizerFile)) ?? {};
  const own = optionalField(tokenizer, 'model_max_length', 'number', tokenizerFile);
  const general = settings.maxLength ?? own ?? usualLength;
  const said = [settings.maxLength, settings.passageMaxLength, settings.queryMaxLength, own];
  return {
    maxLength: Math.min(settings.passageMaxLength ?? general, maxPositions),
    queryMaxLength: Math.min(settings.queryMaxLength ?? general, maxPositions),
    saysLengths: said.some((length) => length !== undefined && length < NO_LENGTH),
    lowerCase: settings.lowerCase,
  };
}

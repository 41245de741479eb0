import { copyFile, mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ListwiseError, ModelError } from '../errors.js';
import { replaceFile } from '../formats/atomic.js';
import { writing } from '../formats/writing.js';
import { Random } from '../random.js';
import { readConfigObject, writeChangedConfig } from './config-file.js';
import type { ModelDirectory } from './directory.js';
import { Config } from './families/config.js';
import { classificationHead, encoderPrefix } from './heads.js';
import { type PlacedTensor, readTensors, safetensorsHeader } from './safetensors.js';
import { isConfiguration } from './save-target.js';
import { fillDirectory, writeJson } from './saved-model.js';
import type { ScoringActivation } from './scoring-activation.js';

/** How transformers saves a model for sequence classification: its class, and what encoder weights' names begin with. */
const CLASSIFIERS: Readonly<Record<string, { name: string; prefix: string }>> = {
  bert: { name: 'BertForSequenceClassification', prefix: 'bert.' },
  roberta: { name: 'RobertaForSequenceClassification', prefix: 'roberta.' },
  'xlm-roberta': { name: 'XLMRobertaForSequenceClassification', prefix: 'roberta.' },
  camembert: { name: 'CamembertForSequenceClassification', prefix: 'roberta.' },
  mpnet: { name: 'MPNetForSequenceClassification', prefix: 'mpnet.' },
  distilbert: { name: 'DistilBertForSequenceClassification', prefix: 'distilbert.' },
  modernbert: { name: 'ModernBertForSequenceClassification', prefix: 'model.' },
  new: { name: 'NewForSequenceClassification', prefix: 'new.' },
  gte: { name: 'GteForSequenceClassification', prefix: 'gte.' },
};

const ACTIVATION_CLASSES = {
  identity: 'torch.nn.modules.linear.Identity',
  sigmoid: 'torch.nn.modules.activation.Sigmoid',
} satisfies Partial<Record<ScoringActivation, string>>;

/** Where config.json says nothing. */
const INITIALIZER_RANGE = 0.02;

/** Belong to the embedding model alone, or are written anew. */
const OTHERS = /^(modules|config|config_sentence_transformers|sentence_\w+_config|tokenizer_config)\.json$/;

export interface FreshOptions {
  /** Of the head's numbers. */
  seed: number;
  /** Longest pair in tokens, which the tokenizer's configuration will say. */
  maxLength: number;
  /** What is applied to the logit when pairs are scored. */
  activation: keyof typeof ACTIVATION_CLASSES;
}

/**
 * Makes a cross-encoder of an encoder: its weights with the classification head that transformers puts on its family,
 * for one label, in a directory as transformers saves it. Layers of the head that the encoder's files have (BERT's
 * pooler) are taken over; others begin as transformers' do: matrices from N(0, initializer_range), biases at 0, norms
 * at 1. The layer that gives the label is always new.
 * @throws ListwiseError UNSUPPORTED for a family without such a head
 * @throws WriteError; `signal.reason` when aborted
 */
export async function writeFreshCrossEncoder(
  base: ModelDirectory,
  target: string,
  { signal, ...options }: FreshOptions & { signal?: AbortSignal },
): Promise<void> {
  if (base.lowerCase) {
    throw new ListwiseError(
      'UNSUPPORTED',
      `${base.directory} lower-cases texts before its tokenizer (do_lower_case), which a cross-encoder's directory ` +
        'cannot say. Train another model.',
    );
  }
  const configFile = join(base.directory, base.transformerPath, 'config.json');
  const fields = (await readConfigObject(configFile)) ?? {};
  const weights = await freshWeights(base, new Config(fields, configFile), options.seed);
  await fillDirectory(target, async (beside) => {
    await mkdir(beside, { recursive: true });
    await copyTokenizer(join(base.directory, base.transformerPath), beside, options.maxLength);
    await writeChangedConfig(configFile, join(beside, 'config.json'), (old) => ({
      ...old,
      architectures: [CLASSIFIERS[base.family]!.name],
      // transformers counts these.
      ...{ num_labels: undefined, id2label: { 0: 'LABEL_0' }, label2id: { LABEL_0: 0 } },
      sentence_transformers: { activation_fn: ACTIVATION_CLASSES[options.activation] },
    }));
    await writeTensors(join(beside, 'model.safetensors'), weights, signal);
    await writeFile(join(beside, 'README.md'), '# A cross-encoder before training\n');
  });
}

/** A tensor in one of the base's files, or numbers of its own. */
type FreshTensor = PlacedTensor & { values?: Float32Array };

async function freshWeights(base: ModelDirectory, config: Config, seed: number): Promise<Map<string, FreshTensor>> {
  const { family, architecture } = base;
  const old = encoderPrefix(base.weightNames);
  const prefix = CLASSIFIERS[family]?.prefix ?? '';
  const renamed = (name: string) => prefix + name.slice(old.length);
  const names = Object.entries(base.weightNames).map(([key, name]) => [key, renamed(name)]);
  const head = classificationHead({ family, architecture, weightNames: Object.fromEntries(names) }, config);
  const there = await readTensors(base.weightFiles);
  const tensors = new Map<string, FreshTensor>();
  for (const template of Object.values(base.weightNames)) {
    for (const name of atLayers(template, architecture.layers)) {
      const tensor = there.get(name);
      if (tensor) tensors.set(renamed(name), tensor);
    }
  }
  const spread = config.positive('initializer_range', INITIALIZER_RANGE);
  for (const [i, { names, norm, inputs, outputs, bias }] of head.dense.entries()) {
    const parts: [name: string | undefined, shape: number[], start: number | 'random'][] = [
      [names!.weight, [outputs, inputs], 'random'],
      [bias ? names!.bias : undefined, [outputs], 0],
      [norm?.names.weight, [outputs], 1],
      [norm?.names.bias, [outputs], 0],
    ];
    for (const [name, shape, start] of parts) {
      if (name === undefined) continue;
      const kept = there.get(name) ?? there.get(old + name.slice(prefix.length));
      const isKept = i < head.dense.length - 1 && kept?.shape.join() === shape.join();
      tensors.set(name, isKept ? kept! : newTensor(shape, numbersOf(start, Random.for(seed, 'head', name), spread)));
    }
  }
  return tensors;
}

function atLayers(template: string, layers: number): string[] {
  if (!template.includes('{layer}')) return [template];
  return Array.from({ length: layers }, (_, layer) => template.replace('{layer}', String(layer)));
}

function numbersOf(start: number | 'random', random: Random, spread: number): () => number {
  return start === 'random' ? () => spread * random.normal() : () => start;
}

function newTensor(shape: number[], number: () => number): FreshTensor {
  const values = Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, number);
  return { dtype: 'F32', shape, file: '', start: 0, end: values.byteLength, values };
}

async function copyTokenizer(from: string, to: string, maxLength: number): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (entry.isDirectory() || !isConfiguration(entry.name) || OTHERS.test(entry.name)) continue;
    // The Hub's cache holds links to files; copyFile follows them.
    await copyFile(join(from, entry.name), join(to, entry.name));
  }
  const file = 'tokenizer_config.json';
  const config = (await readConfigObject(join(from, file))) ?? {};
  await writeJson(join(to, file), { ...config, model_max_length: maxLength });
}

const CHUNK = 1 << 22;

async function writeTensors(file: string, tensors: Map<string, FreshTensor>, signal?: AbortSignal): Promise<void> {
  await replaceFile(file, async (handle) => {
    const write = (bytes: Uint8Array) => writing(file, () => handle.writeFile(bytes));
    await write(safetensorsHeader(tensors));
    for (const { values, file: source, start, end } of tensors.values()) {
      if (values) await write(new Uint8Array(values.buffer));
      else for await (const chunk of readRange(source, { start, end })) await write(chunk);
      signal?.throwIfAborted();
    }
  });
}

async function* readRange(file: string, { start, end }: { start: number; end: number }): AsyncGenerator<Uint8Array> {
  const handle = await open(file, 'r');
  try {
    for (let at = start; at < end; ) {
      const chunk = new Uint8Array(Math.min(CHUNK, end - at));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
      if (bytesRead === 0) throw new ModelError(`${file} was cut off while it was read.`);
      yield chunk.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Pooling } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { readSafetensors, temporaryDirectory, tinyTokenizer, writeJson, writeSafetensors } from './helpers.js';

const models = fileURLToPath(new URL('fixtures/parity/models', import.meta.url));

interface Dense {
  activation: string;
  bias: boolean;
  outputs: number;
}

export interface FamilyModel {
  family: string;
  mode: string;
  pooling: Pooling;
  dense: Dense[];
  unknownToPython?: boolean;
}

/** Each family with another way of pooling and other layers after it. */
export const FAMILY_MODELS: FamilyModel[] = [
  { family: 'roberta', mode: 'weightedmean', pooling: 'weighted-mean', dense: [] },
  {
    ...{ family: 'distilbert', mode: 'max', pooling: 'max' },
    dense: [{ activation: 'activation.ReLU', bias: true, outputs: 24 }],
  },
  {
    ...{ family: 'mpnet', mode: 'lasttoken', pooling: 'last-token' },
    dense: [{ activation: 'activation.Tanh', bias: true, outputs: 40 }],
  },
  {
    ...{ family: 't5-encoder-gated', mode: 'mean', pooling: 'mean' },
    dense: [{ activation: 'linear.Identity', bias: false, outputs: 20 }],
  },
  {
    ...{ family: 'modernbert', mode: 'mean_sqrt_len_tokens', pooling: 'mean-sqrt-length' },
    dense: [
      { activation: 'activation.GELU', bias: true, outputs: 48 },
      { activation: 'activation.Sigmoid', bias: true, outputs: 16 },
    ],
  },
  { family: 'gte', mode: 'cls', pooling: 'first-token', dense: [] },
  { family: 'new-ntk', mode: 'cls', pooling: 'first-token', dense: [], unknownToPython: true },
];

/** A directory in sentence-transformers' layout with the weights of one of the fixtures. */
export function writeFamilyModel({ family, mode, dense }: Omit<FamilyModel, 'pooling'>): string {
  const directory = join(temporaryDirectory(), family);
  mkdirSync(join(directory, '1_Pooling'), { recursive: true });
  for (const file of ['config.json', 'model.safetensors']) {
    cpSync(join(models, family, file), join(directory, file));
  }
  if (family.startsWith('t5')) copyEmbeddings(join(directory, 'model.safetensors'));
  writeJson(join(directory, 'tokenizer.json'), tinyTokenizer());
  const special = { pad_token: '[PAD]', unk_token: '[UNK]', cls_token: '[CLS]', sep_token: '[SEP]' };
  writeJson(join(directory, 'tokenizer_config.json'), {
    ...{ tokenizer_class: 'PreTrainedTokenizerFast', model_max_length: 40, ...special },
  });
  writeJson(join(directory, '1_Pooling', 'config.json'), { embedding_dimension: 32, pooling_mode: mode });
  const modules = [
    ['Transformer', ''],
    ['Pooling', '1_Pooling'],
    ...dense.map((_, i) => ['Dense', `${i + 2}_Dense`]),
    ['Normalize', `${dense.length + 2}_Normalize`],
  ];
  const entries = modules.map(([kind, path], idx) => ({
    ...{ idx, name: String(idx), path, type: `sentence_transformers.models.${kind}` },
  }));
  writeJson(join(directory, 'modules.json'), entries);
  let inputs = 32;
  for (const [i, layer] of dense.entries()) {
    writeDense(join(directory, `${i + 2}_Dense`), inputs, layer);
    inputs = layer.outputs;
  }
  return directory;
}

/** The embeddings under the names of encoder and decoder, too, as older files of T5 have them. */
function copyEmbeddings(file: string): void {
  const tensors = readSafetensors(file);
  const copies = ['encoder', 'decoder'].map((part) => [`${part}.embed_tokens.weight`, tensors['shared.weight']!]);
  writeSafetensors(file, { ...tensors, ...Object.fromEntries(copies) });
}

function writeDense(directory: string, inputs: number, { activation, bias, outputs }: Dense): void {
  const random = Random.for(inputs, 'dense');
  const values = (count: number) => Float32Array.from({ length: count }, () => random.float() - 0.4);
  mkdirSync(directory);
  writeJson(join(directory, 'config.json'), {
    ...{ in_features: inputs, out_features: outputs, bias, activation_function: `torch.nn.modules.${activation}` },
  });
  writeSafetensors(join(directory, 'model.safetensors'), {
    'linear.weight': { shape: [outputs, inputs], values: values(inputs * outputs) },
    ...(bias && { 'linear.bias': { shape: [outputs], values: values(outputs) } }),
  });
}

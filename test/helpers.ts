import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Random } from '../lib/random.js';
import { smallModelDirectory } from '../lib/setup/model.js';

/** Numbers by name with their shapes, as a safetensors file holds them. */
export type Tensors = Record<string, { shape: number[]; values: Float32Array }>;

let temporaryRoot: string | undefined;

/** A new directory, removed when the tests end. */
export function temporaryDirectory(): string {
  if (!temporaryRoot) {
    const root = mkdtempSync(join(tmpdir(), 'listwise-test-'));
    process.once('exit', () => rmSync(root, { recursive: true, force: true }));
    temporaryRoot = root;
  }
  return mkdtempSync(join(temporaryRoot, 'case-'));
}

/** all-MiniLM-L6-v2, which `npm test` makes ready before the tests start. */
export const realModel = process.env.LISTWISE_TEST_MODEL ?? smallModelDirectory();

export interface Tolerance {
  /** Allowed difference as a share of the expected size. Default 0. */
  rtol?: number;
  /** Allowed difference beside that. Default 0. */
  atol?: number;
}

/** Compares number by number; says which one is furthest off. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { rtol = 0, atol = 0 }: Tolerance,
  what = 'numbers',
): void {
  expect(actual.length, `how many ${what}`).to.equal(expected.length);
  let worst = { excess: Number.NEGATIVE_INFINITY, place: -1 };
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    const excess = Number.isFinite(difference)
      ? difference - (atol + rtol * Math.abs(expected[i]!))
      : Number.POSITIVE_INFINITY;
    if (excess > worst.excess) worst = { excess, place: i };
  }
  const { excess, place } = worst;
  expect(excess, `${what}[${place}] is ${actual[place]}, expected ${expected[place]}`).to.be.at.most(0);
}

/** Length of a vector. */
export function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! ** 2;
  return Math.sqrt(sum);
}

export function writeJson(file: string, value: unknown): void {
  writeFileSync(file, JSON.stringify(value));
}

export function writeSafetensors(file: string, tensors: Tensors): void {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const data = Object.values(tensors).map(({ values }) =>
    Buffer.from(values.buffer, values.byteOffset, values.byteLength),
  );
  writeFileSync(file, Buffer.concat([length, padded, ...data]));
}

export function readSafetensors(file: string): Tensors {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, start).toString('utf8'));
  const tensors: Tensors = {};
  for (const [name, info] of Object.entries<any>(header)) {
    if (name === '__metadata__') continue;
    const [from, to] = info.data_offsets;
    const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset + start + from, bytes.byteOffset + start + to));
    tensors[name] = { shape: info.shape, values };
  }
  return tensors;
}

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];
const VOCABULARY = [...['[PAD]', '[UNK]', '[CLS]', '[SEP]'], ...LETTERS, ...LETTERS.map((letter) => `##${letter}`)];

/** A tokenizer that knows letters only, so that every lower-case word has as many tokens as letters. */
export function tinyTokenizer(): object {
  const special = (content: string, id: number) => ({
    ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  });
  return {
    version: '1.0',
    truncation: { direction: 'Right', max_length: 4, strategy: 'LongestFirst', stride: 0 },
    padding: { strategy: { Fixed: 8 }, direction: 'Right', pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' },
    added_tokens: VOCABULARY.slice(0, 4).map(special),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: '[CLS]', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '[SEP]', type_id: 0 } },
      ],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: {
        '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] },
        '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] },
      },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(VOCABULARY.map((token, id) => [token, id])),
    },
  };
}

export const tinyConfig = {
  model_type: 'bert',
  vocab_size: VOCABULARY.length,
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 48,
  max_position_embeddings: 40,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  hidden_act: 'gelu',
};

/** Random weights of a BERT of this config, with every name as transformers has it. */
export function tinyWeights(config: typeof tinyConfig, seed = 1, prefix = ''): Tensors {
  const random = Random.for(seed, 'tiny weights');
  const { hidden_size: hidden, intermediate_size: inner } = config;
  const shapes: Record<string, number[]> = {
    'embeddings.word_embeddings.weight': [config.vocab_size, hidden],
    'embeddings.position_embeddings.weight': [config.max_position_embeddings, hidden],
    'embeddings.token_type_embeddings.weight': [config.type_vocab_size, hidden],
    'embeddings.LayerNorm.weight': [hidden],
    'embeddings.LayerNorm.bias': [hidden],
    'pooler.dense.weight': [hidden, hidden],
  };
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const linear = (name: string, out: number, into: number) => {
      shapes[`encoder.layer.${layer}.${name}.weight`] = [out, into];
      shapes[`encoder.layer.${layer}.${name}.bias`] = [out];
    };
    for (const part of ['query', 'key', 'value']) linear(`attention.self.${part}`, hidden, hidden);
    linear('attention.output.dense', hidden, hidden);
    linear('intermediate.dense', inner, hidden);
    linear('output.dense', hidden, inner);
    for (const part of ['attention.output', 'output']) {
      shapes[`encoder.layer.${layer}.${part}.LayerNorm.weight`] = [hidden];
      shapes[`encoder.layer.${layer}.${part}.LayerNorm.bias`] = [hidden];
    }
  }
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const center = name.endsWith('LayerNorm.weight') ? 1 : 0;
    const count = shape.reduce((product, size) => product * size, 1);
    return [
      prefix + name,
      { shape, values: Float32Array.from({ length: count }, () => center + normal(random) * 0.2) },
    ];
  });
  return Object.fromEntries(entries);
}

/** From the standard normal distribution (Box and Muller). */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.float())) * Math.cos(2 * Math.PI * random.float());
}

export interface TinyModelOptions {
  config?: Record<string, unknown>;
  weights?: Tensors;
  seed?: number;
  pooling?: 'mean' | 'cls';
  /** Leave out modules.json and what belongs to it. */
  plain?: boolean;
}

/** Writes a tiny random model in sentence-transformers' layout and gives its directory. */
export function writeTinyModel(directory = join(temporaryDirectory(), 'tiny'), options: TinyModelOptions = {}): string {
  const { seed = 1, pooling = 'mean', plain = false } = options;
  const config = { ...tinyConfig, ...options.config };
  mkdirSync(join(directory, '1_Pooling'), { recursive: true });
  writeJson(join(directory, 'config.json'), config);
  writeSafetensors(join(directory, 'model.safetensors'), options.weights ?? tinyWeights(config, seed));
  writeJson(join(directory, 'tokenizer.json'), tinyTokenizer());
  writeJson(join(directory, 'tokenizer_config.json'), {
    tokenizer_class: 'BertTokenizer',
    do_lower_case: true,
    model_max_length: 40,
  });
  if (plain) {
    rmSync(join(directory, '1_Pooling'), { recursive: true });
    return directory;
  }
  const modules = ['Transformer', 'Pooling', 'Normalize'];
  writeJson(
    join(directory, 'modules.json'),
    modules.map((kind, idx) => ({
      ...{
        idx,
        name: String(idx),
        path: idx === 0 ? '' : `${idx}_${kind}`,
        type: `sentence_transformers.models.${kind}`,
      },
    })),
  );
  writeJson(join(directory, '1_Pooling', 'config.json'), {
    word_embedding_dimension: config.hidden_size,
    pooling_mode_cls_token: pooling === 'cls',
    pooling_mode_mean_tokens: pooling === 'mean',
  });
  return directory;
}

/** Texts of letters, of 1 to `longest` words. */
export function randomTexts(count: number, { longest = 8, seed = 1 } = {}): string[] {
  const random = Random.for(seed, 'texts');
  const word = () => Array.from({ length: 1 + random.integer(5) }, () => LETTERS[random.integer(26)]).join('');
  return Array.from({ length: count }, () => Array.from({ length: 1 + random.integer(longest) }, word).join(' '));
}

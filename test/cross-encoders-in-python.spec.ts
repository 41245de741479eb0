import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CrossEncoder } from '../lib/cross-encoder.js';
import { readModelDirectory } from '../lib/models/directory.js';
import { writeFreshCrossEncoder } from '../lib/models/fresh-cross-encoder.js';
import { skipWithoutPython } from './environment.js';
import { expectClose, readSafetensors, temporaryDirectory, writeJson, writeSafetensors } from './helpers.js';

const fixtures = fileURLToPath(new URL('fixtures/parity', import.meta.url));
const scorers = join(fixtures, 'cross-encoders');

/** Opens each directory with sentence-transformers; NewModel, which transformers lacks, by its description. */
const PROGRAM = `
import json, sys
import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from transformers import AutoTokenizer
given = json.load(sys.stdin)
sys.path.insert(0, given["fixtures"])
from new_model import new_model

def scores_of_new(directory):
    tensors = {name: tensor.double() for name, tensor in load_file(directory + "/model.safetensors").items()}
    config = json.load(open(directory + "/config.json"))
    words = AutoTokenizer.from_pretrained(directory)
    scores = []
    for query, passage in given["pairs"]:
        first = new_model(tensors, words(query, passage, truncation="longest_first").input_ids, config)[0]
        pooled = torch.tanh(tensors["new.pooler.dense.weight"] @ first + tensors["new.pooler.dense.bias"])
        scores.append((tensors["classifier.weight"] @ pooled + tensors["classifier.bias"]).item())
    return scores

def scores_of(directory):
    if json.load(open(directory + "/config.json"))["model_type"] == "new":
        return scores_of_new(directory)
    return CrossEncoder(directory, device="cpu").predict(given["pairs"]).tolist()

print(json.dumps({name: scores_of(directory) for name, directory in given["models"].items()}))
`;

/** A copy of a model with other fields in its files. */
function changed(from: string, changes: Record<string, Record<string, unknown>>): string {
  const directory = join(temporaryDirectory(), 'model');
  cpSync(from, directory, { recursive: true });
  for (const [file, change] of Object.entries(changes)) {
    const path = join(directory, file);
    writeJson(path, { ...JSON.parse(readFileSync(path, 'utf8')), ...change });
  }
  return directory;
}

/** A head on an encoder of these families, larger than heads begin, so that scores differ by more than rounding. */
async function freshHead(family: string): Promise<string> {
  const base = join(temporaryDirectory(), family);
  cpSync(join(fixtures, 'models', family), base, { recursive: true });
  // The models of these fixtures have no tokenizer of their own.
  const words = { modernbert: 'modernbert-cls', camembert: 'roberta' }[family] ?? family;
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join(scorers, words, file), join(base, file));
  const target = join(temporaryDirectory(), 'fresh');
  const options = { seed: 5, maxLength: 32, activation: 'identity' } as const;
  await writeFreshCrossEncoder(await readModelDirectory(base), target, options);
  const file = join(target, 'model.safetensors');
  const weights = readSafetensors(file);
  for (const [name, { values }] of Object.entries(weights)) {
    if (/(classifier|pooler|head\.dense).*weight$/.test(name)) for (const i of values.keys()) values[i]! *= 10;
  }
  writeSafetensors(file, weights);
  return target;
}

const identity = { sentence_transformers: { activation_fn: 'torch.nn.modules.linear.Identity' } };
const bert = join(scorers, 'bert');
const MODELS: Record<string, () => string | Promise<string>> = {
  ...Object.fromEntries(
    ['bert', 'roberta', 'xlm-roberta', 'distilbert', 'mpnet', 'modernbert', 'gte', 'new'].map((family) => [
      `a fresh head on ${family}`,
      () => freshHead(family),
    ]),
  ),
  'SiLU in the feed-forward': () => changed(bert, { 'config.json': { hidden_act: 'silu', ...identity } }),
  'ReLU on the logit': () =>
    changed(bert, {
      'config.json': { sentence_transformers: { activation_fn: 'torch.nn.modules.activation.ReLU' } },
    }),
  'a tokenizer that cuts the beginning': () =>
    changed(bert, { 'tokenizer_config.json': { truncation_side: 'left' }, 'config.json': identity }),
  'token types that Python does not hand on': () =>
    changed(bert, {
      'tokenizer_config.json': { model_input_names: ['input_ids', 'attention_mask'] },
      'config.json': identity,
    }),
  'token types by the class of the tokenizer': () =>
    changed(bert, {
      'tokenizer_config.json': { model_input_names: undefined, tokenizer_class: 'BertTokenizer' },
      'config.json': identity,
    }),
  'a default prompt': () =>
    changed(join(scorers, 'bert-identity'), {
      'config_sentence_transformers.json': { prompts: { ask: 'what is ' }, default_prompt_name: 'ask' },
    }),
};

describe("cross-encoders in Python's sentence-transformers", () => {
  it('have the same scores, whatever their directories say', async function () {
    skipWithoutPython(this);
    const { pairs }: { pairs: [string, string][] } = JSON.parse(readFileSync(join(bert, 'expected.json'), 'utf8'));
    const models: Record<string, string> = {};
    for (const [what, make] of Object.entries(MODELS)) models[what] = await make();
    const input = JSON.stringify({ fixtures, models, pairs });
    const env = { ...process.env, HF_HUB_OFFLINE: '1' };
    const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
    const { stdout, stderr } = spawnSync(python, ['-c', PROGRAM], { input, env, encoding: 'utf8' });
    expect(stdout, stderr).to.match(/^\{/m);
    const expected: Record<string, number[]> = JSON.parse(stdout.trim().split('\n').at(-1)!);
    for (const [what, directory] of Object.entries(models)) {
      await using scorer = await CrossEncoder.load(directory);
      const scores = await scorer.score(pairs.map(([query, passage]) => ({ query, passage })));
      const theirs = expected[what]!;
      const largest = Math.max(...theirs.map(Math.abs));
      expect(Math.max(...theirs) - Math.min(...theirs), `spread of ${what}`).to.be.above(0.003);
      expectClose(scores, theirs, { atol: 1e-5 * Math.max(1, largest) }, `scores of ${what}`);
    }
  });
});

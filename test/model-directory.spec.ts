import { mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { readModelDirectory } from '../lib/models/directory.js';
import { temporaryDirectory, tinyConfig, tinyWeights, writeJson, writeSafetensors, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

/** Writes a tiny model, lets `change` spoil it, and gives the error of reading it with the directory cut off. */
async function refusal(change: (directory: string) => void): Promise<{ code?: string; message: string }> {
  const directory = writeTinyModel();
  change(directory);
  const { code, message } = (await rejection(readModelDirectory(directory))) as Error & { code?: string };
  return { code, message: message.replaceAll(directory, 'M') };
}

const modules = (...types: string[]) => types.map((type, idx) => ({ idx, name: String(idx), path: `${idx}_X`, type }));

describe('readModelDirectory', () => {
  it("reads sentence-transformers' layout", async () => {
    const directory = writeTinyModel();
    const model = await readModelDirectory(directory);
    expect(model).to.include({ layout: 'sentence-transformers', family: 'bert', pooling: 'mean', normalize: true });
    expect(model).to.include({ maxLength: 40, queryMaxLength: 40, lowerCase: false, transformerPath: '' });
    expect(model.weightFiles).to.deep.equal([join(directory, 'model.safetensors')]);
    expect(model.prompts).to.deep.equal({ query: undefined, passage: undefined });
  });

  it('reads pooling by the first token, under the older and the newer name', async () => {
    const directory = writeTinyModel(undefined, { pooling: 'cls' });
    expect((await readModelDirectory(directory)).pooling).to.equal('first-token');
    writeJson(join(directory, '1_Pooling/config.json'), {
      embedding_dimension: 32,
      pooling_mode: 'cls',
      include_prompt: true,
    });
    expect((await readModelDirectory(directory)).pooling).to.equal('first-token');
  });

  it('finds the Transformer module in a folder of its own', async () => {
    const directory = writeTinyModel();
    mkdirSync(join(directory, '0_Transformer'));
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json']) {
      renameSync(join(directory, name), join(directory, '0_Transformer', name));
    }
    writeJson(join(directory, 'modules.json'), [
      { idx: 0, name: '0', path: '0_Transformer', type: 'sentence_transformers.models.Transformer' },
      { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
    ]);
    const model = await readModelDirectory(directory);
    expect(model).to.include({ transformerPath: '0_Transformer', normalize: false });
    expect(model.weightFiles).to.deep.equal([join(directory, '0_Transformer/model.safetensors')]);
  });

  it('reads a plain transformers directory, which says nothing of pooling', async () => {
    const model = await readModelDirectory(writeTinyModel(undefined, { plain: true }));
    expect(model).to.include({ layout: 'plain', pooling: undefined, normalize: false });
  });

  it('reads weights in shards', async () => {
    const directory = writeTinyModel();
    rmSync(join(directory, 'model.safetensors'));
    const all = Object.entries(tinyWeights(tinyConfig));
    const shards = { 'model-1-of-2.safetensors': all.slice(0, 10), 'model-2-of-2.safetensors': all.slice(10) };
    const weight_map: Record<string, string> = {};
    for (const [file, tensors] of Object.entries(shards)) {
      writeSafetensors(join(directory, file), Object.fromEntries(tensors));
      for (const [name] of tensors) weight_map[name] = file;
    }
    writeJson(join(directory, 'model.safetensors.index.json'), { weight_map });
    const model = await readModelDirectory(directory);
    expect(model.weightFiles).to.deep.equal(Object.keys(shards).map((file) => join(directory, file)));
    rmSync(join(directory, 'model-2-of-2.safetensors'));
    expect((await rejection(readModelDirectory(directory))).message).to.include(
      'model.safetensors.index.json names the shard model-2-of-2.safetensors, which is not in',
    );
  });

  it('reads prompts, lengths and lower-casing', async () => {
    const directory = writeTinyModel();
    writeJson(join(directory, 'config_sentence_transformers.json'), {
      prompts: { query: 'q: ', document: '', passage: 'p: ' },
    });
    writeJson(join(directory, 'sentence_bert_config.json'), {
      max_seq_length: 24,
      query_length: 12,
      do_lower_case: true,
    });
    const model = await readModelDirectory(directory);
    expect(model.prompts).to.deep.equal({ query: 'q: ', passage: 'p: ' });
    expect(model).to.include({ maxLength: 24, queryMaxLength: 12, lowerCase: true });
  });

  it("takes the tokenizer's limit where there is no max_seq_length, and never more than the positions", async () => {
    const directory = writeTinyModel();
    writeJson(join(directory, 'tokenizer_config.json'), { model_max_length: 17 });
    expect((await readModelDirectory(directory)).maxLength).to.equal(17);
    expect((await readModelDirectory(directory)).saysLengths).to.equal(true);
    writeJson(join(directory, 'tokenizer_config.json'), { model_max_length: 1e30 });
    expect(await readModelDirectory(directory)).to.include({ maxLength: 40, saysLengths: false });
    writeJson(join(directory, 'sentence_bert_config.json'), { query_length: 12 });
    expect((await readModelDirectory(directory)).saysLengths).to.equal(true);
  });

  it('says so when the directory or its config is missing', async () => {
    const missing = join(temporaryDirectory(), 'nothing');
    expect(await rejection(readModelDirectory(missing))).to.include({
      code: 'NOT_FOUND',
      message: `There is no model directory ${missing}; check the path.`,
    });
    expect(await refusal((directory) => rmSync(join(directory, 'config.json')))).to.deep.equal({
      code: 'BAD_MODEL',
      message: 'M/config.json is missing, so M is no model directory: expected config.json there.',
    });
  });

  it('says so when there are no weights, and how to convert pickles', async () => {
    expect(await refusal((directory) => rmSync(join(directory, 'model.safetensors')))).to.deep.equal({
      code: 'BAD_MODEL',
      message: 'M holds no weights: expected model.safetensors or model.safetensors.index.json.',
    });
    const pickles = await refusal((directory) => {
      renameSync(join(directory, 'model.safetensors'), join(directory, 'pytorch_model.bin'));
    });
    expect(pickles).to.deep.equal({
      code: 'UNSUPPORTED',
      message:
        'M holds weights as pytorch_model.bin only, and pickles are not read because they can run code. ' +
        'Convert them once in Python: SentenceTransformer("M").save("NEW_DIRECTORY").',
    });
  });

  const headers: [string, RegExp][] = [
    ['null', /^M\/model\.safetensors is no safetensors file: its header is null and not an object\.$/],
    ['[]', /its header is an array of 0 and not an object\.$/],
    [
      '{"a":null}',
      /expected dtype, shape and two data_offsets for tensor a in its header but found null\. Download or save it again\.$/,
    ],
    ['{"a":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}', /for tensor a in its header but found \{"dtype"/],
  ];
  for (const [header, message] of headers) {
    it(`refuses weights with the header ${header}`, async () => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      const error = await refusal((directory) =>
        writeFileSync(join(directory, 'model.safetensors'), Buffer.concat([length, Buffer.from(header)])),
      );
      expect(error.code).to.equal('BAD_MODEL');
      expect(error.message).to.match(message);
    });
  }

  it('says so when files are broken or cut off', async () => {
    expect((await refusal((directory) => writeFileSync(join(directory, 'config.json'), '{"a":'))).message).to.match(
      /^M\/config\.json is not JSON: .*JSON/,
    );
    expect((await refusal((directory) => writeFileSync(join(directory, 'config.json'), '[]'))).message).to.equal(
      'M/config.json: expected a JSON object but found an array of 0.',
    );
    const cut = await refusal((directory) => truncateSync(join(directory, 'model.safetensors'), 20_000));
    expect(cut.code).to.equal('BAD_MODEL');
    expect(cut.message).to.match(
      /^M\/model\.safetensors is cut off: tensor \S+ ends at byte \d+ of its data, but there are only \d+\./,
    );
    const noFile = await refusal((directory) =>
      writeFileSync(join(directory, 'model.safetensors'), 'version https://git-lfs'),
    );
    expect(noFile.message).to.match(/^M\/model\.safetensors is no complete safetensors file: it has 23 bytes/);
  });

  const unsupported: [string, (directory: string) => void, string][] = [
    [
      'a Dense module after Normalize',
      (directory) =>
        writeJson(
          join(directory, 'modules.json'),
          modules(
            ...['Transformer', 'Pooling', 'Normalize', 'Dense'].map((kind) => `sentence_transformers.models.${kind}`),
          ),
        ),
      'M/modules.json: modules Transformer, Pooling, Normalize, Dense are not supported; supported: one Transformer, then Pooling, then any number of Dense, then optionally Normalize.',
    ],
    [
      "a Dense module's activation",
      (directory) => writeDense(directory, { activation_function: 'torch.nn.modules.activation.Mish' }),
      'M/2_Dense/config.json: activation_function "torch.nn.modules.activation.Mish" is not supported; supported: ' +
        'torch.nn.modules.linear.Identity, torch.nn.modules.activation.Tanh, torch.nn.modules.activation.ReLU, ' +
        'torch.nn.modules.activation.GELU, torch.nn.modules.activation.Sigmoid.',
    ],
    [
      "a Dense module's residual",
      (directory) => writeDense(directory, { use_residual: true }),
      'M/2_Dense/config.json: use_residual true is not supported; supported: false.',
    ],
    [
      "an author's own module",
      (directory) =>
        writeJson(
          join(directory, 'modules.json'),
          modules('custom.Transformer', 'sentence_transformers.models.Pooling'),
        ),
      'M/modules.json: modules custom.Transformer, Pooling are not supported; supported: one Transformer, then Pooling, then any number of Dense, then optionally Normalize.',
    ],
    [
      'a way of pooling that is not known',
      (directory) => writeJson(join(directory, '1_Pooling/config.json'), { pooling_mode: 'median' }),
      'M/1_Pooling/config.json: pooling by median is not supported; supported: mean, cls, max, mean_sqrt_len_tokens, weightedmean, lasttoken.',
    ],
    [
      'two poolings at once',
      (directory) =>
        writeJson(join(directory, '1_Pooling/config.json'), {
          pooling_mode_cls_token: true,
          pooling_mode_mean_tokens: true,
        }),
      'M/1_Pooling/config.json: pooling by cls and mean is not supported; supported: mean, cls, max, mean_sqrt_len_tokens, weightedmean, lasttoken.',
    ],
    [
      'pooling without the prompt',
      (directory) =>
        writeJson(join(directory, '1_Pooling/config.json'), { pooling_mode: 'mean', include_prompt: false }),
      'M/1_Pooling/config.json: pooling without the prompt (include_prompt false) is not supported.',
    ],
    [
      'a setting of the Transformer module that is not known',
      (directory) =>
        writeJson(join(directory, 'sentence_bert_config.json'), { max_seq_length: 8, query_expansion: { length: 32 } }),
      'M/sentence_bert_config.json: query_expansion {"length":32} is not supported.',
    ],
  ];
  for (const [what, change, message] of unsupported) {
    it(`refuses ${what} by name`, async () => {
      expect(await refusal(change)).to.deep.equal({ code: 'UNSUPPORTED', message });
    });
  }

  const sentence: [string, Record<string, unknown>, string][] = [
    [
      'embeddings that are to be cut',
      { truncate_dim: 8 },
      'truncate_dim 8 is not supported. Embeddings are not cut here: remove the field to use all of their numbers.',
    ],
    ['another class of models', { model_type: 'SparseEncoder' }, 'model_type "SparseEncoder" is not supported.'],
    ['another similarity', { similarity_fn_name: 'manhattan' }, 'similarity_fn_name "manhattan" is not supported.'],
    ['a field that is not known', { query_adapter: { rank: 4 } }, 'query_adapter {"rank":4} is not supported.'],
    [
      'the activation of a cross-encoder',
      { activation_fn: 'torch.nn.Tanh' },
      'activation_fn "torch.nn.Tanh" is not supported.',
    ],
  ];
  for (const [what, fields, message] of sentence) {
    it(`refuses ${what} in config_sentence_transformers.json by name`, async () => {
      const change = (directory: string) => writeJson(join(directory, 'config_sentence_transformers.json'), fields);
      const expected = { code: 'UNSUPPORTED', message: `M/config_sentence_transformers.json: ${message}` };
      expect(await refusal(change)).to.deep.equal(expected);
    });
  }

  it('reads all of a config_sentence_transformers.json as Python writes it', async () => {
    const directory = writeTinyModel();
    const written = {
      ...{ model_type: 'SentenceTransformer', __version__: { sentence_transformers: '6.2.0', pytorch: '2.13.0' } },
      ...{ prompts: { query: 'q: ', document: null, topic: 't: ' }, default_prompt_name: 'topic' },
      ...{ similarity_fn_name: 'dot', truncate_dim: null },
    };
    writeJson(join(directory, 'config_sentence_transformers.json'), written);
    // encode_query and encode_document never use the default prompt.
    expect((await readModelDirectory(directory)).prompts).to.deep.equal({ query: 'q: ', passage: undefined });
  });

  it('says so where prompts cannot be, or the default prompt is none of them', async () => {
    const refused = async (fields: object) =>
      (await refusal((directory) => writeJson(join(directory, 'config_sentence_transformers.json'), fields))).message;
    expect(await refused({ prompts: ['q: '] })).to.equal(
      'M/config_sentence_transformers.json: expected an object for prompts but found an array of 1.',
    );
    expect(await refused({ prompts: { query: 3 } })).to.equal(
      'M/config_sentence_transformers.json, prompts: expected a string for query but found 3.',
    );
    expect(await refused({ prompts: { topic: 't: ' }, default_prompt_name: 'passage' })).to.equal(
      'M/config_sentence_transformers.json: default_prompt_name "passage" is none of the prompts (query, document, ' +
        'topic); Python does not open such a model either. Correct it, or set it to null.',
    );
  });

  for (const beside of ['beside full weights', 'alone']) {
    it(`refuses an adapter ${beside} by name`, async () => {
      const refused = await refusal((directory) => {
        writeJson(join(directory, 'adapter_config.json'), { peft_type: 'LORA', base_model_name_or_path: 'some/model' });
        if (beside === 'alone') for (const file of ['config.json', 'model.safetensors']) rmSync(join(directory, file));
      });
      expect(refused).to.deep.equal({
        code: 'UNSUPPORTED',
        message:
          "M holds a PEFT adapter (adapter_config.json), whose weights are to be added to another model's; that is not " +
          'supported. Merge them once in Python: load the model, call merge_and_unload() on it, and save it to a new directory.',
      });
    });
  }

  it('refuses a cross-encoder, whose states were not trained to be pooled', async () => {
    const directory = fileURLToPath(new URL('fixtures/parity/cross-encoders/roberta', import.meta.url));
    expect((await rejection(readModelDirectory(directory))).message).to.equal(
      `${directory} is a RobertaForSequenceClassification: a cross-encoder or another classifier, and no embedding ` +
        'model. Give an embedding model here; a cross-encoder is for reranking, or a teacher.',
    );
  });

  it('refuses Dense modules of another width or without their weights', async () => {
    const wide = (directory: string) => writeDense(directory, { in_features: 48 });
    expect((await refusal(wide)).message).to.equal(
      'M/2_Dense/config.json expects 48 numbers for in_features, but 32 come in.',
    );
    expect((await refusal((directory) => writeDense(directory, {}))).message).to.equal(
      'M/2_Dense holds no weights: expected model.safetensors or model.safetensors.index.json.',
    );
  });

  it('refuses a Pooling module of another width', async () => {
    const change = (directory: string) =>
      writeJson(join(directory, '1_Pooling/config.json'), { pooling_mode: 'mean', embedding_dimension: 64 });
    expect((await refusal(change)).message).to.equal(
      'M/1_Pooling/config.json expects embeddings of 64 numbers, but hidden_size in M/config.json is 32.',
    );
  });
});

/** A Dense module of 32 to 16 numbers without its weights. */
function writeDense(directory: string, change: object): void {
  const paths = { Transformer: '', Pooling: '1_Pooling', Dense: '2_Dense' };
  const entries = Object.entries(paths).map(([kind, path]) => ({ path, type: `sentence_transformers.models.${kind}` }));
  writeJson(join(directory, 'modules.json'), entries);
  mkdirSync(join(directory, '2_Dense'), { recursive: true });
  const sizes = { in_features: 32, out_features: 16, bias: true };
  const config = { ...sizes, activation_function: 'torch.nn.modules.activation.Tanh', ...change };
  writeJson(join(directory, '2_Dense', 'config.json'), config);
}

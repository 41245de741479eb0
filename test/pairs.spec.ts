import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CrossEncoder } from '../lib/index.js';
import { readCrossEncoderDirectory } from '../lib/models/cross-encoder-directory.js';
import { PairTokenizer } from '../lib/models/pairs.js';
import { Tokenizer } from '../lib/models/tokenizer.js';
import { temporaryDirectory, writeJson } from './helpers.js';
import { rejection } from './rejection.js';

const models = fileURLToPath(new URL('fixtures/parity/cross-encoders', import.meta.url));

/** A copy of a model with other fields in its tokenizer_config.json. */
function changed(name: string, change: Record<string, unknown>): string {
  const directory = join(temporaryDirectory(), name);
  cpSync(join(models, name), directory, { recursive: true });
  const path = join(directory, 'tokenizer_config.json');
  writeJson(path, { ...JSON.parse(readFileSync(path, 'utf8')), ...change });
  return directory;
}

describe('PairTokenizer', () => {
  it('joins query and passage as the tokenizer itself does, and cuts the passage', async () => {
    const directory = await readCrossEncoderDirectory(join(models, 'bert'));
    const pairs = await PairTokenizer.create(await Tokenizer.load(directory), { maxLength: 8 });
    const { packed, tooLong } = await pairs.pack([
      { query: 'ab', passage: 'c' },
      { query: 'ab', passage: 'cdefghij' },
      { query: 'abcde', passage: 'c' },
    ]);
    const [cls, sep, letter, later] = [2, 3, (i: number) => 5 + i, (i: number) => 31 + i];
    const ids = [cls, letter(0), later(1), sep, letter(2), sep, cls, letter(0), later(1), sep];
    expect(Array.from(packed.ids)).to.deep.equal([...ids, letter(2), later(3), later(4), sep]);
    expect(Array.from(packed.offsets)).to.deep.equal([0, 6, 14]);
    expect(Array.from(packed.secondStarts)).to.deep.equal([4, 4]);
    expect([...tooLong]).to.deep.equal([2]);
  });

  it('cuts the beginning of the passage where the tokenizer cuts there', async () => {
    const directory = await readCrossEncoderDirectory(changed('bert', { truncation_side: 'left' }));
    const tokenizer = await Tokenizer.load(directory);
    const pairs = await PairTokenizer.create(tokenizer, { maxLength: 8 });
    const { packed } = await pairs.pack([{ query: 'ab', passage: 'cdefghij' }]);
    const later = (i: number) => 31 + i;
    const expected = [2, 5, later(1), 3, later(7), later(8), later(9), 3];
    expect(Array.from(packed.ids)).to.deep.equal(expected);
    const [queries, passages] = [
      await tokenizer.packParts(['ab'], { maxLength: 8 }),
      await tokenizer.packParts(['cdefghij'], { maxLength: 8 }),
    ];
    const joined = await pairs.join({ queries, passages, rows: Int32Array.of(0), listLength: 1 });
    expect(Array.from(joined.ids)).to.deep.equal(expected);
  });

  it('tokenises each distinct text once, and no query with each of its passages', async () => {
    const directory = await readCrossEncoderDirectory(join(models, 'bert'));
    const tokenizer = await Tokenizer.load(directory);
    const seen: string[] = [];
    const counting = new Proxy(tokenizer, {
      get: (target, name) => {
        const value = target[name as keyof Tokenizer];
        if (typeof value !== 'function') return value;
        return (...args: never[]) => {
          if (name === 'packParts') seen.push(...(args[0] as unknown as string[]));
          return (value as (...all: never[]) => unknown).apply(target, args);
        };
      },
    });
    const pairs = await PairTokenizer.create(counting, { maxLength: 40 });
    const passages = ['one', 'two', 'three', 'two'];
    const all = ['who', 'what', 'who'].flatMap((query) => passages.map((passage) => ({ query, passage })));
    const { packed } = await pairs.pack(all);
    expect(seen).to.deep.equal(['who', 'what', 'one', 'two', 'three']);
    expect(packed.offsets).to.have.length(13);
  });
});

describe('Tokenizer.pairTemplate', () => {
  const templateOf = async (name: string, change: Record<string, unknown> = {}) => {
    const directory = changed(name, change);
    return (await Tokenizer.load(await readCrossEncoderDirectory(directory))).pairTemplate();
  };

  it('has a second type only where the tokenizer gives one, and Python hands it on', async () => {
    const second = async (change: Record<string, unknown>) => (await templateOf('bert', change)).betweenFirst;
    expect(await second({})).to.equal(1);
    expect(await second({ model_input_names: ['input_ids', 'attention_mask'] })).to.equal(undefined);
    // What transformers' classes do where nothing is said.
    const silent = { model_input_names: undefined };
    expect(await second({ ...silent, tokenizer_class: 'BertTokenizerFast' })).to.equal(1);
    expect(await second({ ...silent, tokenizer_class: 'DistilBertTokenizer' })).to.equal(undefined);
    expect(await second({ ...silent, tokenizer_class: 'PreTrainedTokenizerFast' })).to.equal(undefined);
    expect(await second({ ...silent, tokenizer_class: undefined })).to.equal(1);
    const named = { model_input_names: ['input_ids', 'token_type_ids'] };
    expect((await templateOf('bert-untyped', named)).betweenFirst).to.equal(undefined);
    const error = await rejection(templateOf('bert', { model_input_names: 'input_ids' }));
    expect(error.message).to.match(/expected a list for model_input_names but found "input_ids"\.$/);
  });

  it('refuses types in another order, where the model reads them', async () => {
    const directory = changed('bert', {});
    const file = join(directory, 'tokenizer.json');
    const definition = JSON.parse(readFileSync(file, 'utf8'));
    definition.post_processor.pair.at(-1).SpecialToken.type_id = 0;
    writeJson(file, definition);
    expect(await rejection(CrossEncoder.load(directory))).to.include({
      code: 'UNSUPPORTED',
      message:
        `${file} gives the tokens of a pair the types 0, 0, 0, 1, 0, which is not supported; supported: 0 for the first ` +
        'text and 0 or 1 for the second.',
    });
    writeJson(join(directory, 'tokenizer_config.json'), { model_input_names: ['input_ids'], model_max_length: 40 });
    await (await CrossEncoder.load(directory)).dispose();
  });
});

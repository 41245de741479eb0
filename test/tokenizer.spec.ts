import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { readModelDirectory } from '../lib/models/directory.js';
import { Tokenizer } from '../lib/models/tokenizer.js';
import type { PackedTexts } from '../lib/native.js';
import { randomTexts, tinyTokenizer, writeJson, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

const [CLS, SEP, UNK] = [2, 3, 1];
/** Ids of the tiny tokenizer's tokens for a word of letters. */
const word = (text: string) => [...text].map((letter, i) => 4 + letter.charCodeAt(0) - 97 + (i > 0 ? 26 : 0));

async function load(directory = writeTinyModel()): Promise<Tokenizer> {
  return Tokenizer.load(await readModelDirectory(directory));
}

const unpack = ({ ids, offsets }: PackedTexts) =>
  Array.from({ length: offsets.length - 1 }, (_, i) => Array.from(ids.subarray(offsets[i], offsets[i + 1])));

describe('Tokenizer.pack', () => {
  it('packs texts one after the other, with special tokens and without padding', async () => {
    const packed = await (await load()).pack(['ab c', 'd']);
    expect(Array.from(packed.offsets)).to.deep.equal([0, 5, 8]);
    expect(unpack(packed)).to.deep.equal([
      [CLS, ...word('ab'), ...word('c'), SEP],
      [CLS, ...word('d'), SEP],
    ]);
  });

  it('gives an empty text its special tokens only, and no texts nothing', async () => {
    const tokenizer = await load();
    expect(tokenizer.specialTokens).to.equal(2);
    expect(unpack(await tokenizer.pack(['', ' ']))).to.deep.equal([
      [CLS, SEP],
      [CLS, SEP],
    ]);
    expect(await tokenizer.pack([])).to.deep.equal({ ids: new Int32Array(0), offsets: new Int32Array([0]) });
  });

  it('puts the prefix before each text', async () => {
    const tokenizer = await load();
    expect(await tokenizer.pack(['c', 'd'], { prefix: 'ab ' })).to.deep.equal(await tokenizer.pack(['ab c', 'ab d']));
  });

  it('cuts to maxLength with the special tokens kept, whatever length was asked for before', async () => {
    const tokenizer = await load();
    const lengths = async (maxLength: number) => unpack(await tokenizer.pack(['abcdefgh', 'a'], { maxLength }));
    expect(await lengths(5)).to.deep.equal([
      [CLS, ...word('abc'), SEP],
      [CLS, ...word('a'), SEP],
    ]);
    expect((await lengths(40))[0]).to.deep.equal([CLS, ...word('abcdefgh'), SEP]);
    const both = await Promise.all([lengths(4), lengths(6)]);
    expect(both.map(([first]) => first?.length)).to.deep.equal([4, 6]);
  });

  it('cuts at the end that tokenizer_config.json names, else tokenizer.json', async () => {
    const directory = writeTinyModel();
    const packed = async () => unpack(await (await load(directory)).pack(['abcdefgh'], { maxLength: 5 }))[0];
    const [left, right] = [
      [CLS, ...word('abcdefgh').slice(-3), SEP],
      [CLS, ...word('abc'), SEP],
    ];
    writeJson(join(directory, 'tokenizer_config.json'), { truncation_side: 'left' });
    expect(await packed()).to.deep.equal(left);
    const definition = tinyTokenizer() as { truncation: { direction: string } };
    definition.truncation.direction = 'Left';
    writeJson(join(directory, 'tokenizer.json'), definition);
    expect(await packed()).to.deep.equal(left);
    writeJson(join(directory, 'tokenizer_config.json'), {});
    expect(await packed()).to.deep.equal(left);
    writeJson(join(directory, 'tokenizer_config.json'), { truncation_side: 'right' });
    expect(await packed()).to.deep.equal(right);
    writeJson(join(directory, 'tokenizer_config.json'), { truncation_side: 'middle' });
    expect((await rejection(load(directory))).message).to.match(
      /tokenizer_config\.json: expected "left" or "right" for truncation_side but found "middle"\.$/,
    );
  });

  it('gives texts in slices what they get alone', async () => {
    const tokenizer = await load();
    const texts = randomTexts(700);
    const slices: number[] = [];
    const packed = await tokenizer.pack(texts, { onSlice: (done) => slices.push(done) });
    expect(slices).to.deep.equal([256, 512, 700]);
    for (const i of [0, 255, 256, 511, 512, 699]) {
      expect(unpack(packed)[i], texts[i]).to.deep.equal(unpack(await tokenizer.pack([texts[i]!]))[0]);
    }
  });

  it('takes lower-casing from tokenizer_config.json, as Python does, and from sentence_bert_config.json', async () => {
    const directory = writeTinyModel();
    const packed = async () => unpack(await (await load(directory)).pack(['aB']))[0];
    expect(await packed()).to.deep.equal([CLS, ...word('ab'), SEP]);
    writeJson(join(directory, 'tokenizer_config.json'), { do_lower_case: false });
    expect(await packed()).to.deep.equal([CLS, UNK, SEP]);
    writeJson(join(directory, 'sentence_bert_config.json'), { do_lower_case: true });
    expect(await packed()).to.deep.equal([CLS, ...word('ab'), SEP]);
  });

  it('names the first text that is no string', async () => {
    const tokenizer = await load();
    const error = await rejection(tokenizer.pack(['a', null as unknown as string]));
    expect(error).to.include({
      code: 'INVALID_ARGUMENT',
      message: 'Expected a string for texts[1] but received null.',
    });
  });

  for (const maxLength of [2, 41, 1.5, Number.NaN]) {
    it(`refuses maxLength ${maxLength}`, async () => {
      expect((await rejection((await load()).pack(['a'], { maxLength }))).message).to.equal(
        `Expected a whole number from 3 to 40, the most that this model can read, for maxLength but received ${maxLength}.`,
      );
    });
  }

  it('refuses ids beyond the vocabulary', async () => {
    const directory = writeTinyModel();
    const definition = tinyTokenizer() as { model: { vocab: Record<string, number> } };
    definition.model.vocab['##z'] = 999;
    writeJson(join(directory, 'tokenizer.json'), definition);
    const error = await rejection((await load(directory)).pack(['az']));
    expect(error.code).to.equal('BAD_MODEL');
    expect(error.message).to.match(
      /tokenizer\.json gave token id 999, but the model's vocab_size is 56: the tokenizer belongs to another model\.$/,
    );
  });

  it('says so when tokenizer.json is missing or broken', async () => {
    const directory = writeTinyModel();
    writeFileSync(join(directory, 'tokenizer.json'), '{"model":{}}');
    expect((await rejection(load(directory))).message).to.match(/tokenizer\.json cannot be used: .+/);
    rmSync(join(directory, 'tokenizer.json'));
    const error = await rejection(load(directory));
    expect(error.code).to.equal('BAD_MODEL');
    expect(error.message).to.include(
      'tokenizer.json is missing. Make it once in Python from the older files: AutoTokenizer',
    );
  });

  it('stops when aborted', async () => {
    const stop = new AbortController();
    const packing = (await load()).pack(randomTexts(2000), {
      signal: stop.signal,
      onSlice: () => stop.abort(new Error('enough')),
    });
    expect((await rejection(packing)).message).to.equal('enough');
  });
});

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { splitBlocks } from '../lib/corpus/splitter.js';
import { readModelDirectory } from '../lib/models/directory.js';
import { Tokenizer } from '../lib/models/tokenizer.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

/** A token a word, or a character of a word of more than 8. */
const countTokens = async (texts: readonly string[]) =>
  texts.map((text) =>
    (text.match(/\S+/g) ?? []).reduce((sum, word) => sum + (word.length > 8 ? Array.from(word).length : 1), 0),
  );

const sentence = (start: number, words: number) =>
  `${Array.from({ length: words }, (_, i) => `W${start + i}`).join(' ')}. `;

describe('splitBlocks', () => {
  const split = async (blocks: string[], splitTokens: number, splitOverlap = 0) =>
    (await splitBlocks(blocks, { splitTokens, splitOverlap, countTokens })).map(({ text }) => text);

  it('fills passages with whole sentences', async () => {
    const text = sentence(0, 4) + sentence(10, 4) + sentence(20, 4) + sentence(30, 4);
    expect(await split([text], 9)).to.deep.equal([
      'W0 W1 W2 W3. W10 W11 W12 W13.',
      'W20 W21 W22 W23. W30 W31 W32 W33.',
    ]);
  });

  it('repeats no more than the overlap, in whole sentences, and always comes forward', async () => {
    const text = sentence(0, 4) + sentence(10, 2) + sentence(20, 4) + sentence(30, 9);
    expect(await split([text], 9, 3)).to.deep.equal([
      'W0 W1 W2 W3. W10 W11.',
      'W10 W11. W20 W21 W22 W23.',
      'W30 W31 W32 W33 W34 W35 W36 W37 W38.',
    ]);
    for (const size of [1, 2, 5]) {
      const parts = await split([text], size, size - 1);
      for (const part of parts) expect((await countTokens([part]))[0]).to.be.at.most(size);
      expect(new Set(parts.join(' ').match(/W\d+/g)).size).to.equal(19);
    }
  });

  it('keeps a paragraph whole where the passage before it is half full already', async () => {
    const paragraphs = [`${sentence(0, 6)}\n\n`, `${sentence(10, 3)}${sentence(20, 3)}\n\n`, sentence(30, 2)];
    expect(await split(paragraphs, 10)).to.deep.equal(['W0 W1 W2 W3 W4 W5.', 'W10 W11 W12. W20 W21 W22. \n\nW30 W31.']);
  });

  it('cuts a sentence that is too long at words, and a word that is at characters, never within one', async () => {
    const long = Array.from({ length: 25 }, (_, i) => `w${i}`).join(' ');
    const parts = await split([long], 10);
    expect(parts.map((part) => part.split(' ').length)).to.deep.equal([10, 10, 5]);
    expect(parts.join(' ')).to.equal(long);
    const word = '😀'.repeat(35);
    const pieces = await split([word], 10);
    expect(pieces.join('')).to.equal(word);
    for (const piece of pieces) expect((await countTokens([piece]))[0]).to.be.at.most(10);
  });

  it('gives nothing for white space', async () => {
    expect(await split([' \n\n'], 5)).to.deep.equal([]);
  });
});

describe('loadCorpus of text files', () => {
  async function place(files: Record<string, string>): Promise<string> {
    const directory = temporaryDirectory();
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(directory, name)), { recursive: true });
      await writeFile(join(directory, name), content);
    }
    return directory;
  }

  it('takes titles from headings and file names, ids from paths, and skips hidden directories', async () => {
    const directory = await place({
      'guide/start.md':
        'Before.\n\n# Guide\n\n## Install *it*\n\nRun this:\n\n```\n# no heading\n```\n\nOther\n-----\n\nEnd.\n',
      'notes.txt': 'First paragraph.\r\n\r\nSecond one.\r\n',
      'b.bin': 'no',
      '.git/x.md': 'hidden',
    });
    expect([...(await loadCorpus(directory, { countTokens }))]).to.deep.equal([
      { id: 'guide/start.md#1', title: 'start', text: 'Before.' },
      { id: 'guide/start.md#2', title: 'Guide > Install it', text: 'Run this:\n\n```\n# no heading\n```' },
      { id: 'guide/start.md#3', title: 'Guide > Other', text: 'End.' },
      { id: 'notes.txt#1', title: 'notes', text: 'First paragraph.\n\nSecond one.' },
    ]);
  });

  it('says so where Markdown is nested more deeply than it can be read', async () => {
    const directory = await place({ 'deep.md': `${'> '.repeat(5000)}end` });
    expect((await rejection(loadCorpus(directory, { countTokens }))).message).to.equal(
      `${directory}/deep.md: Expected Markdown but its quotes or lists are nested too deeply; leave the file out, or ` +
        'name it .txt.',
    );
  });

  it('makes ids without white space of paths that have some', async () => {
    const directory = await place({ 'my notes/100 %.txt': 'One.' });
    const corpus = await loadCorpus(directory, { countTokens });
    expect([...corpus.ids()]).to.deep.equal(['my%20notes/100%20%25.txt#1']);
  });

  it('names the line a passage begins on', async () => {
    const directory = await place({
      'a.md': '# T\n\nOne.\n\n## S\n\nTwo words.\n\nBell \u0007.\n',
      'b.txt': '\n\nx\n\n\u0007\n',
    });
    const options = { countTokens, splitTokens: 2, splitOverlap: 0, controlCharacters: 'error' } as const;
    expect((await rejection(loadCorpus(join(directory, 'a.md'), options))).message).to.contain(
      'a.md:9: Expected no control',
    );
    expect((await rejection(loadCorpus(join(directory, 'b.txt'), { ...options, splitTokens: 1 }))).message).to.contain(
      'b.txt:5: Expected no control',
    );
  });

  it('refuses sizes that cannot be, and files of text without a way to count tokens', async () => {
    const directory = await place({ 'a.txt': 'x' });
    expect((await rejection(loadCorpus(directory))).message).to.equal(
      `Expected a function that counts tokens, to split ${directory}/a.txt, for countTokens but received undefined; ` +
        'give embedder.countTokens, so that passages are measured as the model reads them.',
    );
    const message = async (options: object) =>
      (await rejection(loadCorpus(directory, { countTokens, ...options }))).message;
    expect(await message({ splitTokens: 0 })).to.equal(
      'Expected a whole number above 0 for splitTokens but received 0.',
    );
    expect(await message({ splitTokens: 10, splitOverlap: 10 })).to.equal(
      'Expected a whole number from 0 to splitTokens - 1 for splitOverlap but received 10.',
    );
  });

  it("counts with the model's own tokenizer, special tokens not included", async () => {
    const tokenizer = await Tokenizer.load(await readModelDirectory(writeTinyModel()));
    const counts = await tokenizer.count(['', 'a', 'a b c']);
    expect(Array.from(counts)).to.deep.equal([0, 1, 3]);
  });
});

import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { stableOrder } from '../lib/corpus/code-point-order.js';
import { comparisonText, reversed } from '../lib/corpus/comparison-text.js';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { type DuplicateOptions, findDuplicates } from '../lib/corpus/duplicates.js';
import { KeySorter } from '../lib/corpus/key-sorter.js';
import { resemblance } from '../lib/corpus/resemblance.js';
import { Random } from '../lib/random.js';
import type { Passage } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

const passage = (id: string, text: string, title = ''): Passage => ({ id, title, text });

describe('comparisonText', () => {
  it('folds case, widths, ligatures and accents, and drops digits and punctuation', () => {
    expect(comparisonText('Éﬁné, １２3 (x_1)!')).to.equal('efine x_');
  });

  it('squeezes white space, also where punctuation stood between', () => {
    expect(comparisonText('a - b\n\t\u00a0c')).to.equal('a b c');
  });

  it('folds plain ASCII as it folds it beside other characters', () => {
    const ascii = String.fromCharCode(...Array.from({ length: 128 }, (_, i) => i));
    const mixed = `${ascii} ${ascii}x\t\n y_ Z9 `;
    expect(comparisonText(`${mixed}漢`)).to.equal(`${comparisonText(mixed)}漢`);
    expect(comparisonText(mixed)).to.equal(
      ' abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyzx y_ z ',
    );
  });

  it('keeps letters of every script', () => {
    expect(comparisonText('Ж漢字 ½ Ⅳ')).to.equal('ж漢字 iv');
  });
});

describe('stableOrder', () => {
  it('equals a stable sort over several merged runs', async () => {
    const random = new Random(3);
    const keys = Array.from({ length: 10_000 }, () => `k${random.integer(700)}`);
    const expected = keys.map((_, i) => i).sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : a - b));
    expect(Array.from(await stableOrder(keys))).to.deep.equal(expected);
  });
});

describe('findDuplicates', () => {
  const duplicates = async (passages: Passage[], options: DuplicateOptions = {}) => [
    ...(await findDuplicates(await loadCorpus(passages), options)),
  ];

  it('drops passages that are too short after folding, counted in characters', async () => {
    const dropped = await duplicates([
      passage('nine', 'abcdefghi 123456'.replace(' ', '')),
      passage('ten', 'jklmnopqrs'),
      passage('astral', '𝒳'.repeat(9)),
      passage('cjk', '𠀀'.repeat(9)),
    ]);
    expect(dropped.map(({ id, reason }) => [id, reason])).to.deep.equal([
      ['nine', 'too short'],
      ['astral', 'too short'],
      ['cjk', 'too short'],
    ]);
  });

  it('keeps the last of equal texts and says which passage each was dropped for', async () => {
    const dropped = await duplicates([
      passage('a', 'The same words, here!'),
      passage('b', 'something else altogether'),
      passage('c', 'the SAME words here'),
      passage('d', 'The same words here.'),
    ]);
    expect(dropped).to.deep.equal([
      { id: 'a', reason: 'contained', of: 'c' },
      { id: 'c', reason: 'contained', of: 'd' },
    ]);
  });

  it('finds a beginning in the first order and an ending in the order of the reversed texts', async () => {
    const dropped = await duplicates([
      passage('whole', 'alpha beta gamma delta epsilon'),
      passage('beginning', 'alpha beta gamma'),
      passage('ending', 'gamma delta epsilon'),
    ]);
    expect(dropped).to.deep.equal([
      { id: 'beginning', reason: 'contained', of: 'whole' },
      { id: 'ending', reason: 'contained', of: 'whole' },
    ]);
  });

  it('looks at the next 9 passages and no further', async () => {
    const far = (count: number) => [
      passage('part', 'wordy part'),
      ...Array.from({ length: count }, (_, i) => passage(`x${i}`, `wordz ${'abcdefghij'[i]} and on u`)),
      passage('whole', 'xx wordy part yy'),
    ];
    // The others stand between the two in both orders.
    expect((await duplicates(far(8))).map(({ id }) => id)).to.deep.equal(['part']);
    expect(await duplicates(far(9))).to.deep.equal([]);
    expect((await duplicates(far(9), { duplicateWindow: 10 })).map(({ id }) => id)).to.deep.equal(['part']);
  });

  it('compares texts without their titles', async () => {
    const dropped = await duplicates([
      passage('a', 'one and the same', 'First'),
      passage('b', 'one and the same', 'Second'),
    ]);
    expect(dropped.map(({ id }) => id)).to.deep.equal(['a']);
  });

  it('stops when aborted', async () => {
    const error = await rejection(duplicates([passage('a', 'x')], { signal: AbortSignal.abort(new Error('enough')) }));
    expect(error.message).to.equal('enough');
  });

  it('gives the same sorted on disk, where memory holds a few passages only', async () => {
    const random = Random.for(5, 'words');
    const words = ['wing', 'Flügel', '漢字', '𝒳', 'ﬁn', 'a1', 'lift', '\uffee', 'drag-force'];
    const many = Array.from({ length: 3000 }, (_, i) =>
      passage(
        `p${i}`,
        Array.from({ length: 1 + random.integer(6) }, () => words[random.integer(words.length)]).join(' '),
      ),
    );
    const inMemory = await duplicates(many);
    const directory = temporaryDirectory();
    const onDisk = await duplicates(many, { sortMemory: 5000, temporaryDirectory: directory });
    expect(onDisk).to.deep.equal(inMemory);
    expect(await readdir(directory)).to.deep.equal([]);
    // As the definition says, over the whole list.
    expect(inMemory).to.deep.equal(byDefinition(many));
    for (const reason of ['contained', 'too short']) {
      expect(inMemory.filter((dropped) => dropped.reason === reason).length).to.be.greaterThan(200);
    }
    expect(inMemory.length).to.be.lessThan(2900);
  });

  it('removes what it sorted on disk when aborted, or when the disk refuses', async () => {
    const directory = temporaryDirectory();
    const many = Array.from({ length: 500 }, (_, i) => passage(`p${i}`, `some words of passage ${i}`));
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error('enough'));
    const options = { sortMemory: 1000, temporaryDirectory: directory, signal: controller.signal, onProgress };
    const slow = await loadCorpus(
      Array.from({ length: 40 }, () => many).flatMap((part, i) => part.map((p) => ({ ...p, id: `${p.id}-${i}` }))),
    );
    expect((await rejection(findDuplicates(slow, { ...options, sortMemory: 300_000 }))).message).to.equal('enough');
    expect(await readdir(directory)).to.deep.equal([]);
    const file = join(directory, 'file');
    await writeFile(file, '');
    expect((await rejection(duplicates(many, { sortMemory: 1000, temporaryDirectory: file }))).message).to.equal(
      `Cannot write ${file}: there is a file where a directory should be; give another path, or move the file away.`,
    );
  });
});

/** Section 1 of the method, word by word, with Python's order of strings. */
function byDefinition(passages: Passage[]) {
  const texts = passages.map(({ text }) => comparisonText(text));
  const container = new Map<number, number>();
  for (const fold of [(text: string) => text, (text: string) => Array.from(text).reverse().join('')]) {
    const keys = texts.map((text) => Buffer.from(fold(text)));
    const order = keys.map((_, i) => i).sort((a, b) => Buffer.compare(keys[a]!, keys[b]!) || a - b);
    for (const [place, row] of order.entries()) {
      const found = order.slice(place + 1, place + 10).find((other) => texts[other]!.includes(texts[row]!));
      if (found !== undefined && !container.has(row)) container.set(row, found);
    }
  }
  return passages.flatMap(({ id }, row) => {
    if (Array.from(texts[row]!).length < 10) return [{ id, reason: 'too short' }];
    return container.has(row) ? [{ id, reason: 'contained', of: passages[container.get(row)!]!.id }] : [];
  });
}

describe('findDuplicates with nearDuplicates', () => {
  it('drops what is nearly the same as an earlier passage that stays, found as all pairs would show', async () => {
    const random = Random.for(6, 'near');
    const letter = (letters: string) => letters[random.integer(letters.length)]!;
    const word = () => letter('bcdfgh') + letter('aeiou') + letter('klmnprst') + letter('aeiou');
    const texts: string[] = [];
    for (let i = 0; i < 150; i++) {
      const words = Array.from({ length: 60 }, word);
      texts.push(words.join(' '));
      // Copies with one, four and fifteen words changed: alike by about 0.9, 0.67 and 0.2.
      for (const changes of [1, 4, 15]) {
        const copy = words.slice();
        for (let c = 0; c < changes; c++)
          copy[3 + Math.floor((c * 54) / changes)] = `zz${'abcdefghijklmno'[c]}${'xyz'[changes % 3]}`;
        texts.push(copy.join(' '));
      }
    }
    const passages = Random.for(7, 'order').shuffle(texts.map((text, i) => passage(`p${i}`, text)));
    const corpus = await loadCorpus(passages);
    const expected: object[] = [];
    const kept: Passage[] = [];
    for (const one of passages) {
      const like = kept.find(({ text }) => resemblance(text, one.text) >= 0.8);
      if (like) expected.push({ id: one.id, reason: 'nearly the same', of: like.id });
      else kept.push(one);
    }
    expect(expected.length).to.be.within(140, 160);
    const found = await findDuplicates(corpus, { nearDuplicates: 0.8 });
    expect([...found]).to.deep.equal(expected);
    expect(found.counts()).to.deep.equal({ tooShort: 0, contained: 0, near: expected.length });
    expect([...(await findDuplicates(corpus))]).to.deep.equal([]);
    expect((await rejection(findDuplicates(corpus, { nearDuplicates: 0.5 }))).message).to.equal(
      'Expected a number from 0.8 to 1 for nearDuplicates but received 0.5; passages that are less alike would mostly not be found.',
    );
  });
});

describe('KeySorter', () => {
  it('merges runs stably, texts longer than its buffers too', async () => {
    const random = Random.for(8, 'texts');
    const texts = Array.from({ length: 2000 }, (_, i) =>
      i === 900 ? 'é'.repeat(700_000) : `k${random.integer(300)}😀`,
    );
    await using sorter = new KeySorter({ sortMemory: 20_000 });
    for (const [row, text] of texts.entries()) await sorter.add(row, text);
    expect(sorter.runs).to.be.greaterThan(5);
    const sorted = [];
    for await (const { row, text } of sorter.sorted()) {
      expect(text).to.equal(texts[row]);
      sorted.push(row);
    }
    const expected = texts
      .map((_, i) => i)
      .sort((a, b) => Buffer.compare(Buffer.from(texts[a]!), Buffer.from(texts[b]!)) || a - b);
    expect(sorted).to.deep.equal(expected);
  });
});

describe('reversed', () => {
  it('turns characters around, whatever bytes they take', () => {
    for (const text of ['', 'abc', 'aéÿ', 'aé漢', 'a😀b漢😀']) {
      expect(reversed(text)).to.equal(Array.from(text).reverse().join(''));
    }
  });
});

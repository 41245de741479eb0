import { mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { compareCodePoints, stableOrder } from '../lib/corpus/code-point-order.js';
import { comparisonText, reversed } from '../lib/corpus/comparison-text.js';
import { loadCorpus, requirePassages } from '../lib/corpus/corpus.js';
import { type DuplicateOptions, findDuplicates } from '../lib/corpus/duplicates.js';
import { KeySorter } from '../lib/corpus/key-sorter.js';
import { passageText } from '../lib/corpus/passage.js';
import { resemblance } from '../lib/corpus/resemblance.js';
import { sampleIds } from '../lib/corpus/sample.js';
import { Random } from '../lib/random.js';
import type { Passage } from '../lib/types.js';
import { rejection } from './rejection.js';

const passage = (id: string, text: string, title = ''): Passage => ({ id, title, text });

describe('passageText', () => {
  it('joins title and text with a space, and takes either alone where the other is empty', () => {
    expect(passageText({ title: 'Wings', text: 'Lift.' })).to.equal('Wings Lift.');
    expect(passageText({ title: '', text: 'Lift.' })).to.equal('Lift.');
    expect(passageText({ title: 'Wings', text: '' })).to.equal('Wings');
    expect(passageText({ title: '', text: '' })).to.equal('');
  });

  it('turns each newline and tab to a space and trims', () => {
    expect(passageText({ title: '', text: '\n a\tb\r\nc\n\n' })).to.equal('a b  c');
  });

  it('cuts to 2,048 characters, counted as code points, after trimming', () => {
    expect(passageText({ title: '', text: `  ${'x'.repeat(3000)}` })).to.equal('x'.repeat(2048));
    const text = passageText({ title: '', text: `${'x'.repeat(2046)}😀😀😀` });
    expect(text).to.equal(`${'x'.repeat(2046)}😀😀`);
  });

  it('leaves 2,048 characters whole where each takes two code units', () => {
    const text = '😀'.repeat(2048);
    expect(passageText({ title: '', text })).to.equal(text);
    expect(passageText({ title: '', text: `${text}!` })).to.equal(text);
  });
});

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

describe('compareCodePoints', () => {
  it('orders as Python and UTF-8 do, not by UTF-16 code units', () => {
    const texts = ['😀', '\uffee', 'z', '\ue000', '\u{10ffff}', ''];
    const sorted = [...texts].sort(compareCodePoints);
    const byBytes = [...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(sorted).to.deep.equal(byBytes);
    expect([...texts].sort()).to.not.deep.equal(byBytes);
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
    const directory = await mkdtemp(join(tmpdir(), 'listwise-'));
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
    const directory = await mkdtemp(join(tmpdir(), 'listwise-'));
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

describe('loadCorpus', () => {
  it('refuses ids that a run cannot hold', async () => {
    const { message } = await rejection(loadCorpus([passage('a', 'x'), passage('b\tc', 'y')]));
    expect(message).to.equal(
      `Expected a string that is not empty and has no white space for corpus passage 1's id but received "b\tc".`,
    );
  });

  it('gives passages by row and by id', async () => {
    const corpus = await loadCorpus([passage('7', 'seven'), passage('8', 'eight', 'Eight')]);
    expect(corpus.size).to.equal(2);
    expect(corpus.row('8')).to.equal(1);
    expect(corpus.at(0).text).to.equal('seven');
    expect(corpus.get('8')?.title).to.equal('Eight');
    expect(corpus.get('9')).to.equal(undefined);
    expect([...corpus.ids()]).to.deep.equal(['7', '8']);
    expect([...corpus].map(({ id }) => id)).to.deep.equal(['7', '8']);
    expect(await loadCorpus(corpus)).to.equal(corpus);
  });

  it('reads a corpus.jsonl', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'listwise-')), 'corpus.jsonl');
    await writeFile(file, '{"_id": "1", "title": "T", "text": "x"}\n{"_id": "2", "text": "y"}\n');
    const corpus = await loadCorpus(file);
    expect([...corpus]).to.deep.equal([passage('1', 'x', 'T'), passage('2', 'y')]);
  });

  it('refuses what is no corpus, and options that there are not', async () => {
    for (const source of [5, null, '', true, {}]) {
      const error = await rejection(loadCorpus(source as unknown as string));
      expect(error.message).to.match(/^Expected the path of a corpus, or passages, for corpus but received /);
    }
    const misspelt = loadCorpus([passage('a', 'x')], { onprogress: () => {} } as object);
    expect((await rejection(misspelt)).message).to.equal(
      'loadCorpus has no option "onprogress"; did you mean "onProgress"?',
    );
  });

  it('names the passage that is wrong', async () => {
    expect((await rejection(loadCorpus([passage('a', 'x'), passage('a', 'y')]))).message).to.equal(
      'Expected an id that no other passage has (passage 0 has it) for corpus passage 1 but received "a"; ' +
        'give each passage its own id.',
    );
    expect((await rejection(loadCorpus([{ id: 'a', title: '', text: 3 } as unknown as Passage]))).message).to.equal(
      "Expected a string for corpus passage 0's text but received 3.",
    );
    expect((await rejection(loadCorpus([]))).message).to.equal(
      'Expected at least one passage for corpus but received "none".',
    );
  });
});

describe('requirePassages', () => {
  it('refuses ids that the corpus does not have', async () => {
    const corpus = await loadCorpus([passage('a', 'x')]);
    expect([...requirePassages(corpus, ['a', 'a'], 'exclude')]).to.deep.equal(['a']);
    expect(() => requirePassages(corpus, ['a', 'b', 'c', 'd', 'e'], 'exclude')).to.throw(
      'exclude names passages that are not in the corpus: "b", "c", "d" and 1 more; check that the ids are those of this corpus.',
    );
  });
});

describe('sampleIds', () => {
  const ids = Array.from({ length: 50 }, (_, i) => `p${i}`);

  it('is the same for a seed whatever the order, and another for another seed', async () => {
    const sample = await sampleIds(ids, 10, 1);
    expect(sample).to.have.length(10);
    expect(new Set(sample).size).to.equal(10);
    expect(await sampleIds([...ids].reverse(), 10, 1)).to.deep.equal(sample);
    expect(await sampleIds(ids, 10, 2)).to.not.deep.equal(sample);
  });

  it('takes each id equally often, and another sample for each seed', async () => {
    const many = Array.from({ length: 20_000 }, (_, i) => `doc-${i}`);
    const counts = new Map<number, number>();
    const samples: string[][] = [];
    for (const seed of [1, 2, 3]) {
      const sample = await sampleIds(many, 5000, seed);
      samples.push(sample);
      for (const id of sample) {
        const decile = Math.floor(Number(id.slice(4)) / 2000);
        counts.set(decile, (counts.get(decile) ?? 0) + 1);
      }
    }
    // Of each tenth 1,500 are expected, with a standard deviation of 34; of two samples a quarter is in both.
    for (const count of counts.values()) expect(count).to.be.within(1370, 1630);
    const both = samples[0]!.filter((id) => new Set(samples[1]).has(id)).length;
    expect(both).to.be.within(1100, 1400);
  });

  it('is everything where there are no more than asked for', async () => {
    expect(await sampleIds(['b', 'a', 'b'], 5, 1)).to.deep.equal(['a', 'b']);
  });
});

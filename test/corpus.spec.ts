import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { compareCodePoints } from '../lib/corpus/code-point-order.js';
import { loadCorpus, requirePassages } from '../lib/corpus/corpus.js';
import { passageText } from '../lib/corpus/passage.js';
import { sampleIds } from '../lib/corpus/sample.js';
import type { Passage } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
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

describe('compareCodePoints', () => {
  it('orders as Python and UTF-8 do, not by UTF-16 code units', () => {
    const texts = ['😀', '\uffee', 'z', '\ue000', '\u{10ffff}', ''];
    const sorted = [...texts].sort(compareCodePoints);
    const byBytes = [...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(sorted).to.deep.equal(byBytes);
    expect([...texts].sort()).to.not.deep.equal(byBytes);
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
    const file = join(temporaryDirectory(), 'corpus.jsonl');
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

import { expect } from 'chai';
import { compare } from '../lib/evaluation/compare.js';
import { formatComparison } from '../lib/evaluation/table.js';
import { base, better, corpus, options, qrels, queries } from './noisy-runs.js';

describe('formatComparison', () => {
  it('fits in 80 columns, with long names and hostile texts', async () => {
    const hostile = queries.map(({ id }) => ({ id, text: `\u001b[31mred\u0007\n${'long '.repeat(50)}` }));
    const { qrels: _, ...rest } = options;
    const result = await compare({
      ...rest,
      base: { name: 'sentence-transformers/all-MiniLM-L6-v2', run: base },
      others: [{ name: 'runs/2025-01-01/cranfield/with-a-long-name/model', run: better }],
      data: { corpus, queries: hostile, qrels },
    });
    const text = formatComparison(result);
    expect(Math.max(...text.split('\n').map((line) => line.length))).to.be.at.most(80);
    expect(text).to.not.match(/[^\P{Cc}\n]/u);
    expect(text).to.match(/…\S+name\/model /);
  });

  it('says which confidence the interval has', async () => {
    const wide = await compare({ ...options, confidence: 0.999 });
    const narrow = await compare({ ...options, confidence: 0.5 });
    const intervals = [wide, narrow].map(({ differences }) => differences[0]?.interval ?? { low: 0, high: 0 });
    const [wideWidth = 0, narrowWidth = 0] = intervals.map(({ low, high }) => high - low);
    expect(wideWidth).to.be.above(narrowWidth);
    expect(formatComparison(wide, { width: 200 })).to.contain('with its 99.9 % interval by the paired bootstrap');
    expect(formatComparison(narrow, { width: 200 })).to.contain('with its 50 % interval');
  });

  it('refuses options that there are not, and widths that cannot be', async () => {
    const result = await compare(options);
    expect(() => formatComparison(result, { example: 2 } as object)).to.throw(
      'formatComparison has no option "example"; did you mean "examples"?',
    );
    expect(() => formatComparison(result, { width: 0 })).to.throw('Expected a whole number from 1 for width');
    expect(() => formatComparison(result, { examples: -1 })).to.throw('Expected a whole number from 0 for examples');
  });

  it('shows for each measure the base, then each system with its difference', async () => {
    const result = await compare(options);
    const lines = formatComparison(result).split('\n');
    expect(lines[0]).to.match(/^nDCG@10 +mean +diff\. +interval +p +p Holm +\+\/=\/-$/);
    expect(lines[1]).to.match(/^ {2}base +0\.\d{4}$/);
    expect(lines[2]).to.match(
      /^ {2}better +0\.\d{4} {2}\+0\.\d{4} {2}\+0\.\d{4} \+0\.\d{4} +0\.\d{4} +0\.\d{4} +\d+\/\d+\/\d+$/,
    );
    expect(lines[2]).to.contain((result.differences[0]?.value ?? 0).toFixed(4));
    expect(lines).to.include('better: queries that gained most nDCG@10');
  });
});

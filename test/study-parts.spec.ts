import { expect } from 'chai';
import type { RunEvaluation } from '../lib/evaluation/measures.js';
import { compareMeasured, meanEvaluation } from '../lib/study/comparison.js';
import { findingsOf } from '../lib/study/findings.js';
import { expectedSizes } from '../lib/study/material.js';
import type { SettledStudy } from '../lib/study/options.js';
import { StudyLists } from '../lib/study/pools.js';
import type { Contrast } from '../lib/study/results.js';
import { chooseVariants, tablesOf, type Variant, variantsOf } from '../lib/study/variants.js';
import type { TrainingList } from '../lib/types.js';
import { rejection } from './rejection.js';

const MATERIAL = { types: ['claim', 'web', 'title'], human: true };
const variants = variantsOf(tablesOf(MATERIAL));
const variant = (name: string) => variants.find((one) => one.name === name) as Variant;

const listsOf = (counts: Record<string, number>): TrainingList[] =>
  Object.entries(counts).flatMap(([type, count]) =>
    Array.from({ length: count }, (_, i) => ({ id: `${type}${i}`, query: 'x', type, passages: [] })),
  );

describe('tablesOf', () => {
  it('makes the comparisons that the queries allow', () => {
    const ids = (material: { types: string[]; human: boolean }) => tablesOf(material).map(({ id }) => id);
    expect(ids({ types: ['claim', 'web'], human: true })).to.deep.equal(['losses', 'types', 'sources']);
    expect(ids({ types: ['claim'], human: true })).to.deep.equal(['losses', 'sources']);
    expect(ids({ types: ['claim', 'web'], human: false })).to.deep.equal(['losses', 'types']);
    expect(tablesOf({ types: [], human: true })).to.have.length(1);
    expect(tablesOf({ types: [], human: true })[0]!.variants[0]!.pool).to.deep.equal({ from: 'human' });
  });

  it('gives types of any name variants of their own, whose names may be those of directories', () => {
    const [, types] = tablesOf({ types: ['../a', '__a', 'à la carte', 'a/b.c'], human: false });
    const names = types!.variants.map(({ name }) => name);
    expect(names).to.deep.equal(['only--a', 'only--a-2', 'only-à-la-carte', 'only-a-b-c', 'mixed']);
  });
});

describe('chooseVariants', () => {
  const choose = (...wanted: string[]) =>
    chooseVariants(tablesOf(MATERIAL), wanted).map(({ id, variants: rows }) => [id, rows.map(({ name }) => name)]);

  it('takes tables whole and variants by name, and shows none in a table that nobody asked for', () => {
    expect(choose('losses')).to.deep.equal([['losses', ['infonce', 'listwise', 'both']]]);
    expect(choose('sources').map(([id]) => id)).to.deep.equal(['sources']);
    expect(choose('both', 'human')).to.deep.equal([
      ['losses', ['both']],
      ['sources', ['human', 'both']],
    ]);
  });

  it('names what there is', async () => {
    const error = await rejection(Promise.resolve().then(() => choose('only-keywords')));
    expect(error.message).to.contain('only-claim, only-web, only-title, mixed').and.to.contain('"only-keywords"');
  });
});

describe('StudyLists', () => {
  const lists = (options: { listsPerType?: number; devLists?: number } = {}) =>
    StudyLists.of(
      {
        train: listsOf({ claim: 30, web: 20, title: 50, human: 12 }),
        dev: listsOf({ claim: 4, web: 3, title: 6, human: 2 }),
      },
      { listsPerType: undefined, devLists: undefined, ...options },
    );
  const countTypes = (chosen: TrainingList[]) => {
    const counts: Record<string, number> = {};
    for (const { type } of chosen) counts[type!] = (counts[type!] ?? 0) + 1;
    return counts;
  };

  it('gives the variants of a comparison the number that the smallest has, mixtures as even as may be', async () => {
    const studied = await lists();
    expect(studied.sizes(variant('only-title'))).to.deep.equal({ train: 20, dev: 3 });
    expect(studied.sizes(variant('human'))).to.deep.equal({ train: 12, dev: 2 });
    expect(studied.sizes(variant('both'))).to.deep.equal({ train: 100, dev: 13 });
    expect(countTypes((await studied.select(variant('only-title'), 1)).train)).to.deep.equal({ title: 20 });
    const mixed = countTypes((await studied.select(variant('mixed'), 1)).train);
    expect(Object.values(mixed).sort()).to.deep.equal([6, 7, 7]);
    const written = await studied.select(variant('written'), 1);
    expect(countTypes(written.train)).to.deep.equal({ claim: 4, web: 4, title: 4 });
    expect(written.dev).to.have.length(2);
    expect(countTypes((await studied.select(variant('human-and-written'), 1)).train)).to.include({
      human: 12,
      title: 50,
    });
  });

  it('takes more of other types where one has too few', async () => {
    const few = await StudyLists.of(
      { train: listsOf({ claim: 2, web: 40, human: 20 }), dev: [] },
      { listsPerType: undefined, devLists: undefined },
    );
    expect(countTypes((await few.select(variant('written'), 1)).train)).to.deep.equal({ claim: 2, web: 18 });
    expect(few.sizes(variant('written')).dev).to.equal(0);
  });

  it('draws others with another seed, and the same with the same', async () => {
    const studied = await lists();
    const ids = async (seed: number) => (await studied.select(variant('only-title'), seed)).train.map(({ id }) => id);
    expect(await ids(1)).to.deep.equal(await ids(1));
    expect(await ids(1)).to.not.deep.equal(await ids(2));
  });

  it('goes by the numbers that are asked for', async () => {
    const studied = await lists({ listsPerType: 25, devLists: 5 });
    expect(studied.types).to.deep.equal(['claim', 'title']);
    expect(studied.sizes(variant('only-claim'))).to.deep.equal({ train: 25, dev: 4 });
    expect(studied.sizes(variant('both'))).to.deep.equal({ train: 100, dev: 5 });
    expect(studied.lacks(variant('only-web'))).to.equal('it has 20 training lists, fewer than 25');
    expect(studied.lacks(variant('mixed'))).to.equal(undefined);
    expect(countTypes((await studied.select(variant('mixed'), 1)).train)).to.deep.equal({ claim: 12, title: 13 });
  });
});

describe('expectedSizes', () => {
  it('is what there would be if every query became a list', () => {
    const counts = new Map(Object.entries({ claim: 30, web: 20, title: 50 }));
    const material = { ...MATERIAL, counts, humanCount: 10 };
    const study = { run: { devShare: 0.1 }, devLists: 4 } as unknown as SettledStudy;
    expect(expectedSizes(variant('both'), material, study)).to.deep.equal({ train: 90, dev: 4 });
    expect(expectedSizes(variant('only-title'), material, study)).to.deep.equal({ train: 18, dev: 2 });
    expect(expectedSizes(variant('written'), material, study)).to.deep.equal({ train: 9, dev: 1 });
    expect(expectedSizes(variant('human-and-written'), material, study)).to.deep.equal({ train: 99, dev: 4 });
  });
});

describe('comparing variants', () => {
  const evaluation = (values: number[]): RunEvaluation => ({
    mean: { 'P@1': values.reduce((sum, value) => sum + value, 0) / values.length },
    perQuery: { 'P@1': new Map(values.map((value, i) => [`q${i}`, value])) },
  });

  it("takes a query's mean over seeds", () => {
    const mean = meanEvaluation([evaluation([1, 0, 1]), evaluation([0, 0, 1])]);
    expect(mean.mean['P@1']).to.be.closeTo(0.5, 1e-15);
    expect([...mean.perQuery['P@1']!.values()]).to.deep.equal([0.5, 0, 1]);
  });

  it('tests each variant against the base, and corrects for all of the table', async () => {
    const base = { name: 'base', evaluation: evaluation(Array(12).fill(0.5)) };
    const others = [0.1, 0.2].map((step, i) => ({
      name: `v${i}`,
      evaluation: evaluation(Array.from({ length: 12 }, (_, q) => 0.5 + (q < 9 ? step : -step))),
    }));
    const options = { set: 'set', measures: ['P@1'], confidence: 0.9, resamples: 5000, seed: 1 };
    const { differences, sets } = await compareMeasured(base, others, options);
    expect(sets[0]).to.include({ name: 'set', queries: 12 });
    expect(sets[0]!.means['base']).to.deep.equal({ 'P@1': 0.5 });
    expect(sets[0]!.means['v1']!['P@1']).to.be.closeTo(0.6, 1e-12);
    // Of 2^12 choices of signs, those with at most 3 or at least 9 of one sign are as far: 2 * 299.
    for (const { pRandomization, pHolm } of differences) {
      expect(pRandomization).to.be.closeTo((2 * 299) / 4096, 1e-12);
      expect(pHolm).to.be.closeTo((4 * 299) / 4096, 1e-12);
    }
    expect(differences[1]!.difference).to.be.closeTo(0.1, 1e-12);
    expect(differences[1]).to.include({ wins: 9, losses: 3 });
  });
});

describe('findingsOf', () => {
  const contrast = (base: string, other: string, low: number, high: number, p = 0.01): Contrast => ({
    ...{ base, baseLabel: base, other, otherLabel: other, measure: 'nDCG@10', before: 0.5, confidence: 0.95, p },
    ...{ after: 0.5 + (low + high) / 2, difference: (low + high) / 2, interval: { low, high } },
  });
  let untrained: string[] = [];
  const outcomes = (...contrasts: Contrast[]) =>
    findingsOf(contrasts, { measure: 'nDCG@10', significance: 0.05, equalWithin: 0.02, untrained }).map(
      ({ outcome }) => outcome,
    );
  const NOT = 'not studied';

  it('goes by where the whole interval lies', () => {
    expect(outcomes()).to.deep.equal([NOT, NOT, NOT, NOT]);
    const both = (low: number, high: number) =>
      outcomes(contrast('base', 'infonce', low, high), contrast('base', 'both', low, high)).slice(0, 2);
    expect(both(-0.03, -0.01)).to.deep.equal(['holds', 'does not hold']);
    expect(both(0.01, 0.03)).to.deep.equal(['does not hold', 'holds']);
    expect(both(-0.01, 0.03)).to.deep.equal(['cannot tell', 'cannot tell']);
  });

  it('has a mixture win against every type, and lose only to one that is surely better', () => {
    const types = (...intervals: [low: number, high: number, p?: number][]) =>
      outcomes(...intervals.map((interval, i) => contrast(`only-${i}`, 'mixed', ...interval)))[2];
    expect(types([0.01, 0.03], [0.001, 0.02])).to.equal('holds');
    expect(types([0.01, 0.03], [-0.001, 0.02])).to.equal('cannot tell');
    expect(types([0.01, 0.03], [-0.03, -0.01, 0.001])).to.equal('does not hold');
    // Significant alone, and not after the correction for two types.
    expect(types([-0.02, 0.01, 0.5], [-0.03, -0.001, 0.04])).to.equal('cannot tell');
  });

  it('takes written queries for as good only where no loss that matters is left in the interval', () => {
    const sources = (low: number, high: number) => outcomes(contrast('human', 'written', low, high))[3];
    expect(sources(-0.01, 0.01)).to.equal('holds');
    expect(sources(-0.015, -0.005)).to.equal('holds');
    expect(sources(0.01, 0.03)).to.equal('holds');
    expect(sources(-0.03, -0.01)).to.equal('does not hold');
    expect(sources(-0.03, 0.01)).to.equal('cannot tell');
  });

  it('takes nothing from variants that kept the weights of the base', () => {
    const contrasts = [contrast('base', 'both', 0.01, 0.03), contrast('human', 'written', 0, 0, 1)];
    expect(outcomes(...contrasts)).to.deep.equal([NOT, 'holds', NOT, 'holds']);
    untrained = ['written'];
    expect(outcomes(...contrasts)).to.deep.equal([NOT, 'holds', NOT, 'cannot tell']);
    untrained = [];
    const options = { measure: 'nDCG@10', significance: 0.05, equalWithin: 0.02, untrained: ['both'] };
    expect(findingsOf(contrasts, options)[1]!.text).to.match(
      /^both kept the base's weights, for the loss on dev never/,
    );
  });

  it('says it with the figures', () => {
    const [, second] = findingsOf([contrast('base', 'both', 0.01, 0.03)], {
      ...{ measure: 'nDCG@10', significance: 0.05, equalWithin: 0.02, untrained: [] },
    });
    expect(second!.text).to.equal(
      'Here it did: nDCG@10 from 0.5000 to 0.5200, +0.0200 (95 % interval +0.0100 to +0.0300, p = 0.0100).',
    );
  });
});

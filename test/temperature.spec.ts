import { expect } from 'chai';
import { Random } from '../lib/random.js';
import { matchTemperature, meanEntropy } from '../lib/training/temperature.js';
import { rejection } from './rejection.js';

describe('meanEntropy', () => {
  it('is log L for equal scores, 0 for one far above the rest, and as by definition between', async () => {
    expect(await meanEntropy({ scores: [3, 3, 3, 3], listLength: 4 }, 1)).to.be.closeTo(Math.log(4), 1e-12);
    expect(await meanEntropy({ scores: [1, 0, 0, 0], listLength: 4 }, 1e-3)).to.be.closeTo(0, 1e-12);
    const p = [1, 2, 0.5].map((score) => Math.exp(score / 0.7));
    const z = p.reduce((sum, one) => sum + one);
    const byDefinition = -p.reduce((sum, one) => sum + (one / z) * Math.log(one / z), 0);
    expect(await meanEntropy({ scores: [1, 2, 0.5], listLength: 3 }, 0.7)).to.be.closeTo(byDefinition, 1e-12);
    expect(await meanEntropy({ scores: [1, 2, 0.5, 3, 3, 3], listLength: 3 }, 0.7)).to.be.closeTo(
      (byDefinition + Math.log(3)) / 2,
      1e-12,
    );
  });
});

describe('matchTemperature', () => {
  const random = Random.for(1, 'scores');
  const scores = Array.from({ length: 50 * 20 }, () => random.float());

  for (const target of [0.5, 1.67, 2.6]) {
    it(`finds the temperature with mean entropy ${target}`, async () => {
      const match = await matchTemperature({ scores, listLength: 20 }, target);
      expect(match.teacherEntropy).to.be.closeTo(target, 1e-9);
      expect(await meanEntropy({ scores, listLength: 20 }, match.temperature)).to.be.closeTo(target, 1e-9);
      expect(match).to.include({ studentEntropy: target, lists: 50 }).and.not.have.property('bound');
    });
  }

  it('does not depend on the scale of the scores', async () => {
    const [small, large] = await Promise.all(
      [1, 100].map((scale) => matchTemperature({ scores: scores.map((s) => s * scale), listLength: 20 }, 1)),
    );
    expect(large!.temperature / small!.temperature).to.be.closeTo(100, 1e-6);
  });

  it('takes a bound where the teacher is too flat or too peaked to match', async () => {
    const flat = await matchTemperature({ scores: new Array(40).fill(0.5), listLength: 20 }, 1);
    expect(flat.bound).to.equal('lowest');
    expect(flat.temperature).to.be.closeTo(0.01, 1e-12);
    expect(flat.teacherEntropy).to.be.closeTo(Math.log(20), 1e-9);
    const sharp = await matchTemperature({ scores: [1, 0, 0, 0], listLength: 4 }, Math.log(4));
    expect(sharp.bound).to.equal('highest');
    expect(sharp.temperature).to.be.closeTo(10, 1e-9);
  });

  it('refuses scores that lie so far apart that their differences are no numbers', async () => {
    const error = await rejection(matchTemperature({ scores: [1e308, 0, -1e308, 1], listLength: 2 }, 0.5));
    expect(error.code).to.equal('BAD_DATA');
    expect(error.message).to.equal(
      'Expected teacher scores whose differences are numbers but they go from -1e+308 to 1e+308; bring them nearer ' +
        'together, as by their logarithms, or give teacherTemperature.',
    );
  });
});

import { expect } from 'chai';
import { Random } from '../lib/random.js';

describe('Random.sample', () => {
  it('draws places of all, each once, the same for the same seed', () => {
    const draw = (seed: number) => Array.from(Random.for(seed, 'sample').sample(1000, 40));
    const places = draw(1);
    expect(new Set(places)).to.have.lengthOf(40);
    expect(places.every((place) => place >= 0 && place < 1000)).to.equal(true);
    expect(draw(1)).to.deep.equal(places);
    expect(draw(2)).to.not.deep.equal(places);
  });

  it('draws all where there are no more', () => {
    const all = Random.for(1, 'sample').sample(7, 20);
    expect(Array.from(all).sort()).to.deep.equal([0, 1, 2, 3, 4, 5, 6]);
    expect(Random.for(1, 'sample').sample(0, 20)).to.have.lengthOf(0);
  });

  it('draws every place as often, at every turn', () => {
    const [total, count, draws] = [5, 3, 10_000];
    const seen = Array.from({ length: count }, () => new Array<number>(total).fill(0));
    const random = Random.for(3, 'sample');
    for (let draw = 0; draw < draws; draw++) {
      for (const [turn, place] of random.sample(total, count).entries()) seen[turn]![place]! += 1;
    }
    // Five standard deviations of a count of 2,000 among 10,000.
    for (const often of seen.flat()) expect(often).to.be.within(1800, 2200);
  });
});

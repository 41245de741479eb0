import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { evaluate } from '../lib/evaluation/evaluate.js';
import { realModel } from './helpers.js';

const scifact = fileURLToPath(new URL('fixtures/scifact', import.meta.url));

describe('evaluate on the whole of SciFact', () => {
  it('gives the nDCG@10 that sentence-transformers gives with all-MiniLM-L6-v2 at 256 tokens', async function () {
    this.timeout('20m');
    const result = await evaluate({ model: realModel, data: scifact, maxLength: 256, measures: ['nDCG@10', 'R@100'] });
    console.log(
      `      nDCG@10 ${result.measures['nDCG@10']?.toFixed(4)}, R@100 ${result.measures['R@100']?.toFixed(4)} on ` +
        `${result.queries} queries and ${result.passages} passages in ${result.seconds.toFixed(0)} s`,
    );
    expect(result.queries).to.equal(300);
    expect(result.measures['nDCG@10']).to.be.closeTo(0.645, 0.001);
  });

  it('gives nearly the same nDCG@10 in int8', async function () {
    this.timeout('20m');
    const options = { model: realModel, data: scifact, maxLength: 256, measures: ['nDCG@10'] };
    const result = await evaluate({ ...options, modelOptions: { precision: 'int8' } });
    console.log(`      nDCG@10 ${result.measures['nDCG@10']?.toFixed(4)} in ${result.seconds.toFixed(0)} s`);
    expect(result.measures['nDCG@10']).to.be.closeTo(0.645, 0.005);
  });
});

import { expect } from 'chai';
import { writeTinyModel } from './helpers.js';
import { killRepeatedly } from './killed-run.js';
import { tinyRun, writeCollection } from './tiny-run.js';

describe('specialize, killed', function () {
  this.timeout(300_000);

  it('gives the same files as a run that nobody stopped', async () => {
    const collection = writeCollection();
    const options = tinyRun({ collection, model: writeTinyModel(), data: collection, retrievers: ['dense', 'bm25'] });
    const where = await killRepeatedly(options, 3, 1);
    expect(where).to.have.length(3);
  });
});

import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describePlan } from '../lib/cli/plan-text.js';
import type { StudyOptions } from '../lib/study/options.js';
import { planStudy } from '../lib/study/plan.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';
import { collection, runStudy, studyOptions, wholeOptions, wholeStudy } from './study-runs.js';

describe('options of a study', () => {
  const message = async (more: object) =>
    (await rejection(runStudy(studyOptions(more as Partial<StudyOptions>)))).message;

  it('are refused before any work, by name', async () => {
    expect(await message({ data: undefined })).to.contain('a test set of queries that people judged for data');
    expect(await message({ contrastiveWeight: 0 })).to.contain('a number above 0 for contrastiveWeight');
    expect(await message({ variants: ['types'], listsPerType: 1000 })).to.match(
      /at most \d+, the queries of the largest type, for listsPerType/,
    );
    expect(await message({ seeds: [1.5] })).to.contain('an array of whole numbers for seeds but received "1.5"');
    expect(await message({ seeds: [1, 1] })).to.contain('each seed once for seeds but received "1, 1"');
    expect(await message({ seeds: [] })).to.contain('an array of whole numbers for seeds');
    expect(await message({ listsPerType: 1 })).to.contain('a whole number of at least 2 for listsPerType');
    expect(await message({ equalWithin: -1 })).to.contain('a number from 0 to 1 for equalWithin');
    expect(await message({ variants: [] })).to.contain('at least one name');
    expect(await message({ variant: 'both' })).to.equal('study has no option "variant"; did you mean "variants"?');
    expect(await message({ guards: [collection] })).to.contain('study has no option "guards"');
  });

  it('name variants that there are, and why one is not among them', async () => {
    const wrong = await message({ variants: ['losses,only-clam'] });
    expect(wrong).to.contain('variants (infonce, listwise, both, only-web, only-title, mixed, human, written,');
    expect(wrong).to.contain('or tables (losses, types, sources) for variants but received "only-clam"');
    const humanless = await message({ variants: ['human'], humanQueries: undefined });
    expect(humanless).to.contain("people's queries to train on (humanQueries) are needed beside written ones");
  });

  it('keep a study off a directory with files of others', async () => {
    const output = temporaryDirectory();
    mkdirSync(join(output, 'variants'));
    expect(await message({ output })).to.contain('it holds variants, which would be overwritten');
  });
});

describe('planStudy', () => {
  before(async function () {
    this.timeout(120_000);
    await wholeStudy();
  });

  it('writes nothing, and says what each training would take', async () => {
    const given = studyOptions({ seeds: [1, 2] });
    const plan = await planStudy(given);
    expect(() => statSync(given.output)).to.throw('ENOENT');
    const trials = plan.stages.filter(({ stage }) => stage.startsWith('train.'));
    expect(trials).to.have.length(18);
    for (const { estimate, state } of trials) {
      expect(state).to.equal('new');
      expect(estimate).to.include({ count: 3, unit: 'steps' });
    }
    expect(plan.tokens).to.equal(plan.stages.reduce((sum, { estimate }) => sum + (estimate?.tokens ?? 0), 0));
  });

  it('knows what is done, and what would be lost', async () => {
    const plan = await planStudy(wholeOptions);
    expect(describePlan(plan)).to.match(/\nEverything is done\.$/);
    const changed = await planStudy({ ...wholeOptions, keepPercentile: 10 });
    expect(changed.invalidated[0]).to.deep.include({ stage: 'lists' });
    expect(changed.invalidated[0]!.later).to.include.members(['train.both.1', 'test.both.1']);
  });

  it('counts the passages of a step as they are, once there are lists', async () => {
    const tokens = async (batching: 'random' | 'clustered') => {
      const { stages } = await planStudy({ ...wholeOptions, batching, batchSize: 8, devLists: 2 });
      return stages.find(({ stage }) => stage === 'train.both.1')!.estimate!.tokens!;
    };
    const [random, clustered] = [await tokens('random'), await tokens('clustered')];
    expect(clustered).to.be.within(0.3 * random, 0.95 * random);
  });
});

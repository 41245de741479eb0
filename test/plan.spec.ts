import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describePlan } from '../lib/cli/plan-text.js';
import { Embedder } from '../lib/embedder.js';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { planSpecialization } from '../lib/specialize/plan.js';
import { specialize } from '../lib/specialize/specialize.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

describe('planSpecialization', function () {
  this.timeout(60_000);
  let collection: string;
  let model: string;

  before(() => {
    collection = writeCollection();
    model = writeTinyModel();
  });

  const options = (more: Partial<SpecializeOptions> = {}) => tinyRun({ collection, model, ...more });
  const planned = async (given: SpecializeOptions) => {
    const plan = await planSpecialization(given);
    return { ...plan, states: Object.fromEntries(plan.stages.map(({ stage, state }) => [stage, state])) };
  };

  it("refuses a file in the run directory's place, or above it, before it plans anything", async () => {
    const file = join(temporaryDirectory(), 'taken');
    writeFileSync(file, 'x');
    for (const output of [file, join(file, 'run')]) {
      expect((await rejection(planned(options({ output })))).message).to.equal(
        `Cannot write ${output}: it or a part of its path is a file where a directory should be; give another path.`,
      );
    }
  });

  it('refuses queries in a pipe, which are gone after the first reading', async () => {
    const given = options({ queries: '/dev/null' });
    expect((await rejection(planned(given))).message).to.equal(
      'Expected a JSON Lines file of written queries at /dev/null but it is a pipe or device, and a run reads its ' +
        'inputs several times; write it to a file first.',
    );
  });

  it('writes nothing, and says what each stage would work on', async () => {
    const given = options();
    const { stages, states, tokens, seconds, invalidated } = await planned(given);
    expect(existsSync(given.output)).to.equal(false);
    expect(new Set(Object.values(states))).to.deep.equal(new Set(['new']));
    expect(invalidated).to.deep.equal([]);
    const estimate = (stage: string) => stages.find((one) => one.stage === stage)!.estimate!;
    expect(estimate('queries')).to.deep.equal({ count: 2 * PASSAGES, unit: 'queries' });
    expect(estimate('teacher')).to.deep.equal({ count: 2 * PASSAGES * 30, unit: 'pairs' });
    expect(estimate('training')).to.include({ count: 3, unit: 'steps' });
    expect(describePlan(await planSpecialization(given))).to.match(/^promotion +to do: no guard sets$/m);
    expect(tokens).to.equal(stages.reduce((sum, one) => sum + (one.estimate?.tokens ?? 0), 0));
    expect(seconds).to.be.at.least(0);
  });

  it('counts the tokens that the model reads', async () => {
    const { stages } = await planned(options({ until: 'embeddings' }));
    await using embedder = await Embedder.load(model);
    expect(embedder.maxLength).to.equal(40);
    const { readCorpus } = await import('../lib/formats/beir.js');
    let tokens = 0;
    for await (const { text } of readCorpus(collection)) {
      // One token a letter, and two special ones.
      tokens += Math.min(40, text.replace(/\s/g, '').length + 2);
    }
    expect(stages.find(({ stage }) => stage === 'embeddings')!.estimate).to.include({ count: PASSAGES, tokens });
  });

  it('says what is reused, what is done again and why, as the run then does it', async () => {
    const given = options({ until: 'lists' });
    await specialize(given);
    const before = readdirSync(given.output);
    expect(Object.values((await planned(given)).states)).to.deep.equal(Array(6).fill('reused'));
    const changed = { ...given, until: 'training' as const, keepPercentile: 10 };
    const plan = await planned(changed);
    expect(plan.states).to.include({ teacher: 'reused', lists: 'invalidated', training: 'new' });
    expect(plan.invalidated).to.deep.equal([
      { stage: 'lists', reason: 'keepPercentile changed from 25 to 10', later: [] },
    ]);
    expect(readdirSync(given.output)).to.deep.equal(before);
    const { stages } = await specialize(changed);
    const reused = Object.entries(stages).map(([stage, { reused: isReused }]) => [stage, isReused]);
    expect(reused).to.deep.equal(Object.entries(plan.states).map(([stage, state]) => [stage, state === 'reused']));
    const text = describePlan(await planSpecialization({ ...given, learningRate: 1 }));
    expect(text)
      .to.match(/^corpus {6}done before, in /m)
      .and.to.include('lists       is done again: ');
    expect(text).to.include('lost without --yes: lists is done again, and after it training: keepPercentile changed');
    expect(describePlan(await planSpecialization(changed))).to.match(/\nEverything is done\.$/);
  });
});

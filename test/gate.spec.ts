import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import type { Comparison } from '../lib/evaluation/compare.js';
import { evaluate } from '../lib/evaluation/evaluate.js';
import { readTrecRun } from '../lib/formats/trec.js';
import { readRunFacts } from '../lib/report/facts.js';
import { adviceOf } from '../lib/report/findings.js';
import { guardResult, objections } from '../lib/specialize/gate.js';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import type { Promotion } from '../lib/specialize/promotion-stage.js';
import { specialize } from '../lib/specialize/specialize.js';
import { judge } from '../lib/specialize/verdict.js';
import { run } from './command-lines.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

function comparisonOf(difference: number, p: number, other: object = {}): Comparison {
  return {
    ...{ base: 'base', others: ['trained'], measures: ['nDCG@10'], sets: [] },
    ...{ confidence: 0.95, resamples: 10_000, seed: 1 },
    differences: [
      {
        ...{
          set: 'mine',
          system: 'trained',
          measure: 'nDCG@10',
          queries: 225,
          base: 0.4,
          value: 0.4 + difference,
          difference,
        },
        ...{ interval: { low: difference - 0.01, high: difference + 0.01 } },
        ...{ pRandomization: p, pTTest: p, pBootstrap: p, pHolm: p, pTTestHolm: p, ...other },
        ...{ wins: 3, ties: 2, losses: 1, gained: [], lost: [] },
      },
    ],
  };
}

describe('judge', () => {
  it('calls a gain a gain only where the test does', () => {
    const gain = judge(comparisonOf(0.02, 0.003), { on: 'test', significance: 0.05 });
    expect(gain.outcome).to.equal('better');
    expect(gain.text).to.equal(
      'nDCG@10 went from 0.4000 to 0.4200 on 225 queries (+0.0200, 95 % interval +0.0100 to +0.0300, p = 0.0030 by ' +
        'the paired randomisation test). A gain that chance alone would hardly give: significant at 0.05.',
    );
    const small = judge(comparisonOf(0.005, 0.3), { on: 'test', significance: 0.05 });
    expect(small.outcome).to.equal('undecided');
    expect(small.text).to.contain('p = 0.3000 by the paired randomisation test). Not significant at 0.05');
    expect(judge(comparisonOf(0.005, 0.3), { on: 'test', significance: 0.5 }).outcome).to.equal('better');
  });

  it('says when the trained model is worse', () => {
    const loss = judge(comparisonOf(-0.02, 0.00004), { on: 'test', significance: 0.05 });
    expect(loss.outcome).to.equal('worse');
    expect(loss.text).to.contain('A loss, significant at 0.05: keep the base model.');
  });

  it('goes by the test that was asked for', () => {
    const comparison = comparisonOf(0.02, 0.2, { pTTest: 0.01, pBootstrap: 0.03 });
    const of = (test: 'randomization' | 't-test' | 'bootstrap') =>
      judge(comparison, { on: 'test', significance: 0.02, test });
    expect(of('randomization')).to.include({ p: 0.2, outcome: 'undecided' });
    expect(of('t-test')).to.include({ p: 0.01, outcome: 'better' });
    expect(of('bootstrap')).to.include({ p: 0.03, outcome: 'undecided' });
    expect(of('t-test').text).to.contain('p = 0.0100 by the paired t-test)');
  });

  it('asks more of the second model that is tried on the same queries', () => {
    const second = judge(comparisonOf(0.02, 0.03), { on: 'test', significance: 0.05, looks: 2 });
    expect(second).to.include({ p: 0.06, outcome: 'undecided' });
    expect(second.text).to.contain('times 2 for as many models tried on these queries');
    expect(judge(comparisonOf(0.02, 0.9), { on: 'test', significance: 0.05, looks: 2 }).p).to.equal(1);
  });
});

describe('objections', () => {
  const better = judge(comparisonOf(0.02, 0.003), { on: 'test', significance: 0.05 });

  it('are none for a gain that costs the guard sets no more than allowed', () => {
    expect(objections(better, [guardResult('nq', comparisonOf(-0.01, 0.2), 0.01)])).to.deep.equal([]);
  });

  it('name a gain that is not shown, and each guard set that lost too much', () => {
    const undecided = judge(comparisonOf(0.02, 0.3), { on: 'test', significance: 0.05 });
    const guards = [guardResult('nq', comparisonOf(-0.0101, 0.2), 0.01), guardResult('fever', comparisonOf(1, 1), 0)];
    expect(objections(undecided, guards)).to.deep.equal([
      'no gain over the base is shown on the held-out queries',
      'it loses −0.0101 nDCG@10 on the guard set nq, where 0.01 is allowed',
    ]);
  });
});

describe('specialize with a gate', function () {
  this.timeout(60_000);
  const judged = Array.from({ length: PASSAGES }, (_, i) => i);
  let collection: string;
  let model: string;
  before(() => {
    collection = writeCollection({ judged });
    model = writeTinyModel();
  });

  const options = (more: Partial<SpecializeOptions> = {}) =>
    tinyRun({ collection, model, data: collection, maxSteps: 20, evaluateEvery: 5, ...more });
  const weightsIn = (directory: string) => readFileSync(join(directory, 'model.safetensors'));

  /** A test set whose relevant passages are those that the base finds first, so that any change is a loss. */
  async function likedByBase(): Promise<string> {
    const directory = writeCollection({ judged, seed: 9 });
    const found = await evaluate({ model, data: directory, k: 1, measures: ['P@1'] });
    const qrels = [...found.run].map(([query, [first]]) => `${query}\t${first!.id}\t1`);
    writeFileSync(join(directory, 'qrels', 'test.tsv'), `query-id\tcorpus-id\tscore\n${qrels.join('\n')}\n`);
    return directory;
  }

  it('promotes a model that is better and leaves the guard sets as they were', async () => {
    const guard = writeCollection({ judged, seed: 9 });
    const { promotion, directory, trained, model: chosen } = await specialize(options({ guards: [guard] }));
    expect(promotion).to.include({ promoted: true, on: 'test' }).and.not.have.property('offer');
    expect(promotion!.verdict).to.include({ outcome: 'better', test: 'randomization', looks: 1 });
    expect(promotion!.guards[0]).to.include({ name: guard, holds: true, queries: PASSAGES });
    expect(promotion!.text).to.match(/Promoted: model\/ is the trained model\.$/);
    expect(weightsIn(chosen!).equals(weightsIn(trained!))).to.equal(true);
    const stored: Promotion = JSON.parse(readFileSync(join(directory, 'promotion', 'promotion.json'), 'utf8'));
    expect(stored).to.deep.equal(promotion);
    const runs = join(directory, 'promotion', 'guards', `1-${guard.split('/').at(-1)}`);
    for (const name of ['base', 'trained']) expect((await readTrecRun(join(runs, `${name}.trec`))).size).to.equal(60);
  });

  it('keeps the base where a guard set loses too much, and asks the mixtures to hold there too', async () => {
    const given = options({ guards: [await likedByBase()], guardLoss: 0.001, mixingShares: [0.5] });
    const { promotion, directory, model: chosen } = await specialize(given);
    expect(promotion!.promoted).to.equal(false);
    expect(promotion!.verdict.outcome).to.equal('better');
    expect(promotion!.objections).to.have.length(1);
    expect(promotion!.objections[0]).to.match(/^it loses −0\.\d+ nDCG@10 on the guard set .* where 0\.001 is allowed$/);
    expect(promotion!.text).to.contain('No mixture of weights holds on the guard sets either');
    expect(promotion!.offer).to.include({ passes: false }).and.not.have.property('directory');
    expect(existsSync(join(directory, 'promotion', 'interpolated'))).to.equal(false);
    const texts = ['abc def', 'xyz'];
    await using kept = await Embedder.load(chosen!);
    await using base = await Embedder.load(model);
    expect(await kept.encode(texts)).to.deep.equal(await base.encode(texts));

    // Half of the way loses about half as much, and gains enough.
    const second = await specialize({ ...given, guardLoss: 0.08 });
    const { offer, text } = second.promotion!;
    expect(second.promotion!.promoted).to.equal(false);
    expect(second.promotion!.guards[0]!.difference).to.be.below(-0.08);
    expect(offer).to.include({ passes: true, share: 0.5, directory: 'promotion/interpolated' });
    expect(offer!.verdict).to.include({ outcome: 'better', looks: 2 });
    expect(offer!.guards[0]).to.include({ holds: true });
    expect(text).to.match(/It passes the gate; to use it, take that directory\.$/);
    const mixed = await evaluate({ model: join(directory, 'promotion', 'interpolated'), data: collection });
    expect(offer!.verdict.trained).to.be.closeTo(mixed.measures['nDCG@10']!, 1e-9);
    expect(adviceOf(await readRunFacts(directory))[0]).to.equal(
      'Use the mixture of weights in promotion/interpolated (50 % trained): it passes the gate, which the trained model did not.',
    );
    expect(readFileSync(second.report!, 'utf8')).to.contain('It passes the gate.');
  });

  it('offers the mixture that the dev lists like best where no gain is shown, judged on queries that did not choose', async () => {
    const guards = [writeCollection({ judged: [1, 2, 3, 4], seed: 9 })];
    const { promotion, directory, stages, report } = await specialize(options({ significance: 1e-9, guards }));
    expect(promotion!.promoted).to.equal(false);
    expect(promotion).to.deep.include({ guards: [], skippedGuards: guards });
    expect(promotion!.text).to.contain(
      `The trained model was not tried on the guard set ${guards[0]}, as it is out already: whether it lost there is not known.`,
    );
    expect(readFileSync(report!, 'utf8')).to.contain('Other searches were not looked at (');
    const { offer } = promotion!;
    expect(offer).to.include({ chosenOn: 'dev lists', directory: 'promotion/interpolated', passes: false });
    expect(offer!.choices.map(({ share }) => share)).to.deep.equal([0.25, 0.5, 0.75]);
    const best = Math.max(...offer!.choices.map(({ value }) => value));
    expect(offer!.choices.find(({ value }) => value === best)!.share).to.equal(offer!.share);
    expect(offer!.verdict.looks).to.equal(2);
    expect(stages.promotion!.counts).to.include({ promoted: false, offer: offer!.share });
    const { measures } = await evaluate({ model: join(directory, 'promotion', 'interpolated'), data: collection });
    expect(offer!.verdict.trained).to.be.closeTo(measures['nDCG@10']!, 1e-9);
    expect(offer!.verdict.trained).to.not.equal(promotion!.verdict.trained);
  });

  it('splits the queries in halves, one to choose and one to test, where dev queries are all there is', async () => {
    const given = options({ significance: 1e-9, devShare: 0.4, mixingShares: [0.5] });
    const { promotion, evaluation } = await specialize({ ...given, data: undefined });
    expect(promotion!.on).to.equal('dev');
    expect(promotion!.offer!.chosenOn).to.equal('half');
    const queries = evaluation!.comparison.sets[0]!.queries;
    const tested = Math.ceil(queries / 2);
    expect(promotion!.offer!.verdict.text).to.contain(`on ${tested} queries`);
  });

  it('decides again, without training again, when only the gate changes', async () => {
    const given = options({ mixingShares: [] });
    expect((await specialize(given)).promotion!.promoted).to.equal(true);
    const events: string[] = [];
    const stricter = { ...given, significance: 1e-9 };
    const second = await specialize({ ...stricter, onStage: ({ stage, status }) => events.push(`${stage} ${status}`) });
    expect(second.promotion).to.include({ promoted: false }).and.not.have.property('offer');
    expect(events.filter((event) => event.endsWith(' done'))).to.deep.equal(['promotion done']);
  });

  it('tells by the exit code of the command whether the trained model is promoted', async () => {
    const config = join(temporaryDirectory(), 'run.json');
    writeFileSync(config, JSON.stringify(options({ mixingShares: [] })));
    const command = ['specialize', '--config', config, '--json', '--quiet'];
    const promoted = await run(...command);
    expect(promoted.code, promoted.stderr).to.equal(0);
    expect(JSON.parse(promoted.stdout).promotion.promoted).to.equal(true);
    const kept = await run(...command, '--significance', '1e-9', '--yes');
    expect(kept.code, kept.stderr).to.equal(3);
    const { promotion } = JSON.parse(kept.stdout);
    expect(promotion.promoted).to.equal(false);
    expect(promotion.objections).to.deep.equal(['no gain over the base is shown on the held-out queries']);
    const people = await run('specialize', '--config', config, '--significance', '1e-9');
    expect(people.code).to.equal(3);
    expect(people.stdout).to.contain('Not promoted, because no gain over the base is shown');
  });

  it('refuses options of the gate that cannot be', async () => {
    const refused = async (more: object) => (await rejection(specialize(options(more)))).message;
    expect(await refused({ significanceTest: 'wilcoxon' })).to.equal(
      "Expected one of 'randomization', 't-test', 'bootstrap' for significanceTest but received \"wilcoxon\".",
    );
    expect(await refused({ guards: 'nq' })).to.contain('an array of BEIR directories for guards');
    expect(await refused({ guards: ['nowhere'] })).to.contain('Expected a BEIR directory');
    expect(await refused({ guardLoss: -1 })).to.contain('for guardLoss but received -1');
    expect(await refused({ mixingShares: [0.5, 1] })).to.equal(
      'Expected numbers between 0 and 1 for mixingShares but received 1.',
    );
    const misplaced = temporaryDirectory();
    expect(await refused({ guards: [misplaced] })).to.contain('it has no qrels/*.tsv at all');
  });
});

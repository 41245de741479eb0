import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { InvalidArgumentError, NotFoundError } from '../lib/errors.js';
import { type CompareOptions, compare } from '../lib/evaluation/compare.js';
import { evaluateRun } from '../lib/evaluation/measures.js';
import { holm, pairedBootstrap, pairedTTest, randomizationTest } from '../lib/evaluation/statistics.js';
import { formatComparison } from '../lib/evaluation/table.js';
import { writeTrecQrels } from '../lib/formats/qrels.js';
import { writeTrecRun } from '../lib/formats/trec.js';
import type { Query } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
import { base, better, corpus, options, qrels, queries } from './noisy-runs.js';
import { rejection } from './rejection.js';

describe('compare', () => {
  it('gives means, differences and tests for each measure and system', async () => {
    const result = await compare(options);
    expect(result.sets[0]).to.include({ name: 'test set', queries: 60 });
    expect(result).to.include({ base: 'base', resamples: 2000, seed: 5, confidence: 0.95 });
    expect(result.others).to.deep.equal(['better', 'alike']);
    expect(result.measures).to.deep.equal(['nDCG@10', 'RR@10']);
    expect(result.differences.map(({ measure, system }) => `${measure} ${system}`)).to.deep.equal([
      'nDCG@10 better',
      'nDCG@10 alike',
      'RR@10 better',
      'RR@10 alike',
    ]);
    const before = await evaluateRun(qrels, base, options.measures);
    const after = await evaluateRun(qrels, better, options.measures);
    expect(result.sets[0]!.means['base']).to.deep.equal(before.mean);
    const values = [...(after.perQuery['nDCG@10'] ?? [])];
    const differences = values.map(([query, value]) => value - (before.perQuery['nDCG@10']?.get(query) as number));
    const first = result.differences[0];
    expect(first?.difference).to.be.closeTo((after.mean['nDCG@10'] ?? 0) - (before.mean['nDCG@10'] ?? 0), 1e-12);
    expect(first?.interval).to.deep.equal(await pairedBootstrap(differences, { resamples: 2000, seed: 5 }));
    expect(first?.pRandomization).to.equal(await randomizationTest(differences, { resamples: 2000, seed: 5 }));
    expect(first?.pTTest).to.be.closeTo(pairedTTest(differences), 1e-15);
    expect(result.differences.map(({ pHolm }) => pHolm)).to.deep.equal(
      holm(result.differences.map(({ pRandomization }) => pRandomization)),
    );
    expect(result.differences.map(({ pTTestHolm }) => pTTestHolm)).to.deep.equal(
      holm(result.differences.map(({ pTTest }) => pTTest)),
    );
    expect(first?.pTTestHolm).to.be.above(first!.pTTest);
  });

  it('tells a better run from one that is alike', async () => {
    const [gain, chance] = (await compare(options)).differences;
    expect(gain?.interval.low).to.be.greaterThan(0);
    expect(gain?.pHolm).to.be.lessThan(0.01);
    expect(chance?.interval.low).to.be.lessThan(0);
    expect(chance?.interval.high).to.be.greaterThan(0);
    expect(chance?.pHolm).to.be.greaterThan(0.05);
  });

  it('counts wins, ties and losses, and names the queries that changed most, with their texts', async () => {
    const { qrels: _, ...rest } = options;
    const [first] = (await compare({ ...rest, data: { corpus, queries, qrels }, examples: 4 })).differences;
    expect((first?.wins ?? 0) + (first?.ties ?? 0) + (first?.losses ?? 0)).to.equal(60);
    expect(first?.gained).to.have.length(4);
    const gains = first?.gained.map(({ difference }) => difference) ?? [];
    expect(gains).to.deep.equal([...gains].sort((a, b) => b - a));
    const [most] = first?.gained ?? [];
    expect(most?.text).to.equal(queries.find(({ id }) => id === most?.query)?.text);
    expect(most?.difference).to.equal((most?.value ?? 0) - (most?.base ?? 0));
    expect(first?.lost.every(({ difference }) => difference < 0)).to.equal(true);
  });

  it('shows what stood at the top before and after, with grades and the beginnings of texts', async () => {
    const { qrels: _, ...rest } = options;
    const long = corpus.map((passage) => ({
      ...passage,
      title: `title of ${passage.id}`,
      text: `${'😀'.repeat(200)}`,
    }));
    const data = { corpus: long, queries, qrels };
    const [first] = (await compare({ ...rest, data })).differences;
    const most = first!.gained[0]!;
    for (const [top, run] of [
      [most.before, base],
      [most.after, better],
    ] as const) {
      expect(top.map(({ id }) => id)).to.deep.equal(
        run
          .get(most.query)!
          .slice(0, 3)
          .map(({ id }) => id),
      );
      for (const { id, grade, title, text } of top) {
        expect(grade).to.equal(qrels.get(most.query)!.get(id) ?? null);
        expect(title).to.equal(`title of ${id}`);
        // 300 code units, and not half a character at the end.
        expect(text).to.equal(`${'😀'.repeat(150)}…`);
      }
    }
  });

  it('breaks the difference down by a field of the queries', async () => {
    const { qrels: _, ...rest } = options;
    const grouped = queries.map((query, i) => ({ ...query, metadata: { kind: i % 3 ? 'long' : 'short' } }));
    const data = { corpus, queries: grouped, qrels };
    const result = await compare({ ...rest, data, by: 'metadata.kind' });
    const [first] = result.differences;
    expect(first!.groups!.map(({ group, queries: count }) => [group, count])).to.deep.equal([
      ['long', 40],
      ['short', 20],
    ]);
    const [long, short] = first!.groups!;
    expect((40 * long!.difference + 20 * short!.difference) / 60).to.be.closeTo(first!.difference, 1e-12);
    expect(long!.wins + short!.wins).to.equal(first!.wins);
    expect(formatComparison(result))
      .to.contain('better: nDCG@10 by metadata.kind')
      .and.match(/\n {2}short +20 /);
    const unknown = await rejection(compare({ ...rest, data, by: 'metadata.kin' }));
    expect(unknown.message).to.equal(
      'Expected a field of the queries for by but received "metadata.kin"; the queries of test set have metadata.kind.',
    );
    const noQueries = await rejection(compare({ ...options, by: 'type' }));
    expect(noQueries.message).to.contain('only a collection has the queries whose field that is');
  });

  it('compares on several test sets, and corrects over all of them', async () => {
    const { qrels: _, ...rest } = options;
    const [one, two] = [queries.slice(0, 40), queries.slice(40)];
    const part = (name: string, some: Query[]) => ({
      name,
      data: { corpus, queries: some, qrels: new Map(some.map(({ id }) => [id, qrels.get(id)!])) },
    });
    const systems = { base: { name: 'base', run: [base, base] }, others: [{ name: 'better', run: [better, better] }] };
    const result = await compare({ ...rest, ...systems, data: [part('one', one), part('two', two)] });
    expect(result.sets.map(({ name, queries: count }) => [name, count])).to.deep.equal([
      ['one', 40],
      ['two', 20],
    ]);
    expect(result.differences.map(({ set, measure }) => `${set} ${measure}`)).to.deep.equal([
      ...['one nDCG@10', 'one RR@10', 'two nDCG@10', 'two RR@10'],
    ]);
    expect(result.differences.map(({ pHolm }) => pHolm)).to.deep.equal(
      holm(result.differences.map(({ pRandomization }) => pRandomization)),
    );
    expect(formatComparison(result)).to.contain('one (40 queries)').and.to.contain('60 queries.');
    const single = compare({ ...options, ...rest, qrels: undefined, data: [part('one', one), part('two', two)] });
    expect((await rejection(single)).message).to.contain('Expected 2 runs, one for each test set, for the run base');
    const twice = compare({ ...rest, ...systems, data: [part('one', one), part('one', two)] });
    expect((await rejection(twice)).message).to.contain('test sets of different names for data but received "one"');
  });

  it('finds no difference between a run and itself', async () => {
    const [same] = (await compare({ ...options, others: [{ name: 'same', run: base }] })).differences;
    expect(same).to.deep.include({ difference: 0, interval: { low: 0, high: 0 }, pRandomization: 1, pTTest: 1 });
    expect(same).to.deep.include({ wins: 0, ties: 60, losses: 0, gained: [], lost: [] });
  });

  it('is the same for the same seed, and survives JSON', async () => {
    const result = await compare(options);
    expect(await compare(options)).to.deep.equal(result);
    expect(JSON.parse(JSON.stringify(result))).to.deep.equal(result);
    expect(await compare({ ...options, seed: 6 })).to.not.deep.equal({ ...result, seed: 6 });
  });

  it('reads a relevance level that a measure names, whatever the option says for the others', async () => {
    const { measures } = await compare({ ...options, measures: ['P(rel=1)@5', 'AP'], relevanceLevel: 2 });
    expect(measures).to.deep.equal(['P@5', 'AP(rel=2)']);
  });

  describe('with files', () => {
    let directory: string;
    const at = (name: string) => join(directory, name);

    before(async () => {
      directory = temporaryDirectory();
      await writeTrecRun(at('base.trec'), base);
      await writeTrecRun(at('better.trec'), better);
      await writeTrecQrels(at('test.qrels'), qrels);
    });

    it('gives what runs in memory give', async () => {
      const files = { base: at('base.trec'), others: [at('better.trec')], qrels: at('test.qrels') };
      const fromFiles = await compare({ ...options, ...files });
      const inMemory = await compare({ ...options, others: [{ name: at('better.trec'), run: better }] });
      expect(fromFiles.base).to.equal(at('base.trec'));
      const unnamed = inMemory.differences.map((difference) => ({ ...difference, set: at('test.qrels') }));
      expect(fromFiles.differences).to.deep.equal(unnamed);
    });

    it('says what it wants where it finds no run', async () => {
      const gone = await rejection(compare({ ...options, others: [at('gone.trec')] }));
      expect(gone).to.be.instanceOf(NotFoundError);
      expect(gone.message).to.equal(
        `Expected a run in TREC layout at ${at('gone.trec')} but there is no such file; to compare models, give a ` +
          'collection (data), not qrels.',
      );
    });

    it('refuses a run of other queries', async () => {
      await writeFile(at('other.trec'), 'x Q0 D1 1 0.5 t\n');
      const error = await rejection(compare({ ...options, others: [at('other.trec')] }));
      expect(error.message).to.contain('judged queries, queries such as "q0" for the run');
    });
  });

  it('refuses what cannot be compared, before it starts', async () => {
    const cases: [Partial<CompareOptions>, string][] = [
      [{ others: [] }, 'Expected an array of at least one system to compare for others'],
      [{ others: [{ name: 'base', run: better }] }, 'Expected systems of different names for others[0]'],
      [{ others: [{ run: better }] }, 'Expected a name for what is in memory for others[0].name'],
      [
        { others: [{ name: 'x' } as never] },
        'Expected a run file, a model, {name, run} or {name, model} for others[0]',
      ],
      [{ others: [null as never] }, 'for others[0] but received null'],
      [{ others: [{ model: 'some/model' }] }, 'Expected a collection to run models on for data'],
      [{ qrels: undefined }, 'Expected data (a collection) or qrels (judgements) for data'],
      [{ data: { corpus, queries, qrels } }, 'Expected either data or qrels for qrels'],
      [{ measures: ['F1'] }, 'Expected one of nDCG[@k]'],
      [{ examples: -1 }, 'Expected a whole number from 0 for examples'],
      [{ confidence: 2 }, 'Expected a number between 0 and 1 for confidence'],
      [{ resample: 10 } as never, 'compare has no option "resample"; did you mean "resamples"?'],
    ];
    for (const [wrong, message] of cases) {
      const error = await rejection(compare({ ...options, ...wrong }));
      expect(error).to.include({ code: 'INVALID_ARGUMENT' });
      expect(error.message).to.contain(message);
    }
    expect(await rejection(compare({ ...options, others: [] }))).to.be.instanceOf(InvalidArgumentError);
  });
});

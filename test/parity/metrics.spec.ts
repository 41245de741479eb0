import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { parseMeasure } from '../../lib/evaluation/measure-names.js';
import { evaluateRun } from '../../lib/evaluation/measures.js';
import type { Qrels, Run } from '../../lib/types.js';
import { parityFile } from './directory.js';

interface Fixture {
  qrels: Record<string, Record<string, number>>;
  run: Record<string, Record<string, number>>;
  perQuery: Record<string, Record<string, number>>;
  mean: Record<string, number>;
}

function compareMeasures(fixture: Fixture) {
  const qrels: Qrels = new Map(
    Object.entries(fixture.qrels).map(([query, grades]) => [query, new Map(Object.entries(grades))]),
  );
  const run: Run = new Map(
    Object.entries(fixture.run).map(([query, scores]) => [
      query,
      Object.entries(scores).map(([id, score]) => ({ id, score })),
    ]),
  );

  for (const [given, expected] of Object.entries(fixture.perQuery)) {
    it(`computes ${given} as the reference does, query by query and on average`, async () => {
      const { mean, perQuery } = await evaluateRun(qrels, run, [given]);
      const { name } = parseMeasure(given);
      expect(perQuery[name]).to.have.keys(...Object.keys(expected));
      for (const [query, value] of Object.entries(expected)) {
        expect(perQuery[name]?.get(query), `${given} of ${query}`).to.be.closeTo(value, 1e-9);
      }
      expect(mean[name], `mean ${given}`).to.be.closeTo(fixture.mean[given] as number, 1e-9);
    });
  }

  it('has a reference that is not all zero, so that a match means something', () => {
    const values = Object.values(fixture.perQuery).flatMap((byQuery) => Object.values(byQuery));
    expect(values.some((value) => value > 0)).to.equal(true);
  });
}

describe('parity: evaluateRun', () => {
  const path = parityFile('metrics.json');
  if (path) compareMeasures(JSON.parse(readFileSync(path, 'utf8')) as Fixture);
  else it('is compared where the parity directory has metrics.json');
});

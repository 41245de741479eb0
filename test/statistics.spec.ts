import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { InvalidArgumentError } from '../lib/errors.js';
import {
  bootstrapTest,
  holm,
  mean,
  pairedBootstrap,
  pairedTTest,
  randomizationTest,
} from '../lib/evaluation/statistics.js';
import { studentTwoSided } from '../lib/evaluation/student.js';
import { rejection } from './rejection.js';

interface Pair {
  differences: number[];
  t: number;
  /** Over all choices of signs. */
  randomization?: number;
  /** Over 200,000 random choices. */
  randomizationSampled?: number;
  /** From 200,000 resamples. */
  bootstrap?: [number, number];
}

const scipy = JSON.parse(
  readFileSync(fileURLToPath(new URL('fixtures/measures/paired-tests.json', import.meta.url)), 'utf8'),
) as { student: [number, number, number][]; pairs: Pair[] };

describe('studentTwoSided', () => {
  it('equals scipy from the middle to the far tail, for 1 to 6,979 degrees of freedom', () => {
    for (const [t, freedom, p] of scipy.student) {
      const error = Math.abs(studentTwoSided(t, freedom) - p);
      expect(error, `t = ${t}, ν = ${freedom}`).to.be.at.most(1e-9 * p);
    }
  });

  it('is 1 - 2 atan(t) / π for one degree of freedom, near 0 too', () => {
    for (const t of [1e-12, 1e-8, 1e-4, 0.5, 3]) {
      expect(studentTwoSided(t, 1)).to.be.closeTo(1 - (2 * Math.atan(t)) / Math.PI, 1e-14);
    }
  });
});

describe('pairedTTest', () => {
  it('equals scipy', () => {
    for (const { differences, t } of scipy.pairs) expect(pairedTTest(differences)).to.be.closeTo(t, 1e-9 * t);
  });

  it('is 1 where nothing differs or one pair is all there is, and 0 where all differ by the same', () => {
    expect(pairedTTest([0, 0, 0])).to.equal(1);
    expect(pairedTTest([0.5])).to.equal(1);
    expect(pairedTTest([0.5, 0.5, 0.5])).to.equal(0);
  });
});

describe('randomizationTest', () => {
  it('counts every choice of signs where there are few pairs, as scipy does', async () => {
    for (const { differences, randomization } of scipy.pairs) {
      if (randomization === undefined) continue;
      expect(await randomizationTest(differences)).to.be.closeTo(randomization, 1e-12);
    }
  });

  it('comes close to scipy where it samples', async () => {
    for (const { differences, randomizationSampled: p } of scipy.pairs) {
      if (p === undefined) continue;
      const error = 4 * Math.sqrt((p * (1 - p)) / 10_000) + 2e-4;
      expect(await randomizationTest(differences)).to.be.closeTo(p, error);
    }
  });

  it('gives the same p for the same seed, another for another, and never 0', async () => {
    const { differences } = scipy.pairs.at(-2) as Pair;
    expect(await randomizationTest(differences, { seed: 3 })).to.equal(
      await randomizationTest(differences, { seed: 3 }),
    );
    expect(await randomizationTest(differences, { seed: 4 })).to.not.equal(
      await randomizationTest(differences, { seed: 3 }),
    );
    expect(await randomizationTest(new Array(50).fill(1), { resamples: 99 })).to.equal(0.01);
  });

  it('does not let queries without a difference change p', async () => {
    const few = [0.3, 0.1, -0.05, 0.2];
    expect(await randomizationTest([...few, ...new Array(100).fill(0)])).to.equal(await randomizationTest(few));
    expect(await randomizationTest([0, 0])).to.equal(1);
  });
});

describe('pairedBootstrap', () => {
  it('comes close to scipy with 20 times the resamples', async () => {
    for (const { differences, bootstrap } of scipy.pairs) {
      if (bootstrap === undefined) continue;
      const [low, high] = bootstrap;
      const interval = await pairedBootstrap(differences);
      expect(interval.low).to.be.closeTo(low, 0.03 * (high - low));
      expect(interval.high).to.be.closeTo(high, 0.03 * (high - low));
    }
  });

  it('is wider for more confidence, and the same for the same seed', async () => {
    const { differences } = scipy.pairs.at(-1) as Pair;
    const narrow = await pairedBootstrap(differences, { confidence: 0.8, seed: 9 });
    const wide = await pairedBootstrap(differences, { confidence: 0.99, seed: 9 });
    expect(wide.low).to.be.lessThan(narrow.low);
    expect(wide.high).to.be.greaterThan(narrow.high);
    expect(await pairedBootstrap(differences, { confidence: 0.8, seed: 9 })).to.deep.equal(narrow);
    expect(await pairedBootstrap(differences, { confidence: 0.8, seed: 10 })).to.not.deep.equal(narrow);
  });

  it('lets the event loop run, and stops when aborted', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => controller.abort(reason), 20);
    const differences = new Array(10_000).fill(0.1);
    const started = performance.now();
    const error = await rejection(pairedBootstrap(differences, { signal: controller.signal, resamples: 1e6 }));
    expect(error).to.equal(reason);
    expect(performance.now() - started).to.be.lessThan(1000);
  });

  it('refuses numbers that are not finite, and options out of range', async () => {
    const nan = await rejection(pairedBootstrap([1, Number.NaN]));
    expect(nan).to.be.instanceOf(InvalidArgumentError);
    expect(nan.message).to.equal('Expected a finite number for differences[1] but received NaN.');
    expect((await rejection(pairedBootstrap([]))).message).to.contain('at least one number for differences');
    expect((await rejection(pairedBootstrap([1], { confidence: 95 }))).message).to.contain('between 0 and 1');
    expect((await rejection(pairedBootstrap([1], { resamples: 0 }))).message).to.contain('a whole number from 1');
    const many = await rejection(randomizationTest([1], { resamples: 1e12 }));
    expect(many.message).to.equal(
      'Expected a whole number from 1 to 100,000,000 for resamples but received 1000000000000.',
    );
  });
});

describe('bootstrapTest', () => {
  /** Student's t of all n^n resamples of the shifted differences, each as likely as the other. */
  function exactP(differences: number[]): number {
    const n = differences.length;
    const average = differences.reduce((sum, value) => sum + value, 0) / n;
    const t = (values: number[]) => {
      const middle = values.reduce((sum, value) => sum + value, 0) / n;
      const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
      return Math.abs(middle) < 1e-15 ? 0 : Math.abs(middle) / Math.sqrt(squares / (n - 1) / n);
    };
    let count = 0;
    for (let draw = 0; draw < n ** n; draw++) {
      const rows = Array.from({ length: n }, (_, i) => Math.floor(draw / n ** i) % n);
      if (t(rows.map((row) => differences[row]! - average)) >= t(differences) - 1e-12) count += 1;
    }
    return count / n ** n;
  }

  it('comes close to the share of all resamples that are as far from 0', async () => {
    for (const differences of [
      [0.3, 0.1, 0.25, 0.02, -0.1],
      [0.2, -0.25, 0.05, 0.4, 0.31, 0.01],
    ]) {
      const p = await bootstrapTest(differences, { resamples: 40_000, seed: 3 });
      expect(p).to.be.closeTo(exactP(differences), 0.01);
    }
  });

  it('is 1 where nothing differs or one query is all there is, never 0, and the same for the same seed', async () => {
    expect(await bootstrapTest([0, 0, 0])).to.equal(1);
    expect(await bootstrapTest([0.5])).to.equal(1);
    const sure = Array.from({ length: 50 }, (_, i) => 0.5 + i / 1000);
    expect(await bootstrapTest(sure, { resamples: 99 })).to.equal(0.01);
    const mixed = [0.3, 0.1, 0.25, 0.02, -0.1];
    expect(await bootstrapTest(mixed, { seed: 4 })).to.equal(await bootstrapTest(mixed, { seed: 4 }));
    expect(await bootstrapTest(mixed, { seed: 4 })).to.not.equal(await bootstrapTest(mixed, { seed: 5 }));
  });
});

describe('holm', () => {
  it('multiplies by the number of tests left, never falls, and stops at 1', () => {
    const corrected = holm([0.01, 0.04, 0.03, 0.005, 0.9]);
    for (const [i, expected] of [0.04, 0.09, 0.09, 0.025, 0.9].entries()) {
      expect(corrected[i]).to.be.closeTo(expected, 1e-15);
    }
    expect(holm([0.6, 0.7])).to.deep.equal([1, 1]);
    expect(holm([])).to.deep.equal([]);
  });

  it('refuses what is no p-value', () => {
    expect(() => holm([0.5, Number.NaN])).to.throw('Expected numbers in [0, 1] for pValues but received NaN.');
  });
});

describe('mean', () => {
  it('is the arithmetic mean', () => {
    expect(mean([1, 2, 6])).to.equal(3);
  });
});

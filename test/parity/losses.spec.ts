import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { native, runJob } from '../../lib/native.js';
import { parityFile } from './directory.js';

interface LossCase {
  name: string;
  query: number[][];
  passage: number[][];
  list: number[][];
  teacher: number[][];
  listwise: number;
  contrastive: number;
  loss: number;
  gradQuery: number[][];
  gradPassage: number[][];
}

interface LossFile {
  temperature: { student: number; teacher: number; contrastive: number };
  maskThreshold: number;
  contrastiveWeight: number;
  cases: LossCase[];
}

/** Relative to the tensor's largest number: those near 0 are differences of larger ones. */
function expectClose(actual: Float64Array, expected: number[], relative: number) {
  const largest = Math.max(...expected.map(Math.abs), Number.MIN_VALUE);
  expect(actual.length).to.equal(expected.length);
  const worst = Math.max(...expected.map((value, i) => Math.abs((actual[i] ?? Number.NaN) - value)));
  expect(worst / largest).to.be.at.most(relative);
}

function run(file: LossFile, item: LossCase, contrastiveWeight = file.contrastiveWeight) {
  const loss = {
    studentTemperature: file.temperature.student,
    teacherTemperature: file.temperature.teacher,
    contrastiveTemperature: file.temperature.contrastive,
    contrastiveWeight,
    listwiseWeight: 1,
    maskThreshold: file.maskThreshold,
  };
  return runJob(() =>
    native().losses({
      queries: Float64Array.from(item.query.flat()),
      passages: Float64Array.from(item.passage.flat()),
      dimension: item.query[0]?.length ?? 0,
      rows: Int32Array.from(item.list.flat()),
      teacher: Float64Array.from(item.teacher.flat()),
      listLength: item.list[0]?.length ?? 0,
      loss,
    }),
  );
}

function compareCases(path: string, gradientTolerance: number) {
  const file = JSON.parse(readFileSync(path, 'utf8')) as LossFile;
  for (const item of file.cases) {
    it(`agrees on "${item.name}": losses to 1e-9, gradients to ${gradientTolerance}`, async () => {
      const result = await run(file, item);
      // Without weight it is not computed.
      result.contrastive ??= (await run(file, item, 1)).contrastive!;
      for (const name of ['listwise', 'contrastive', 'loss'] as const) {
        expect(result[name], name).to.be.closeTo(item[name], 1e-9 * Math.max(1e-3, Math.abs(item[name])));
      }
      expect(Math.max(...item.gradQuery.flat().map(Math.abs)), 'the largest gradient').to.be.above(0);
      expectClose(result.gradQueries, item.gradQuery.flat(), gradientTolerance);
      expectClose(result.gradPassages, item.gradPassage.flat(), gradientTolerance);
    });
  }
}

describe('parity: losses', () => {
  const path = parityFile('losses.json');
  // Its gradients were rounded to single precision, twice where a tensor is used twice: 2 x 6e-8.
  if (path) compareCases(path, 1.2e-7);
  else it('is compared where the parity directory has losses.json');
});

describe('losses, against autograd in double precision', () => {
  compareCases(fileURLToPath(new URL('../fixtures/losses/float64.json', import.meta.url)), 1e-9);
});

describe('losses, of which one has no weight', () => {
  it('gives the gradients of the listwise loss alone, and no contrastive loss', async () => {
    const path = fileURLToPath(new URL('../fixtures/losses/float64.json', import.meta.url));
    const file = JSON.parse(readFileSync(path, 'utf8')) as LossFile;
    for (const item of file.cases) {
      const without = await run(file, item, 0);
      expect(without).to.not.have.property('contrastive');
      expect(without.loss).to.equal(without.listwise);
      expect(without.listwise).to.be.closeTo(item.listwise, 1e-9 * Math.max(1e-3, Math.abs(item.listwise)));
      if (item.list[0]!.length === 1) {
        expect(Math.max(...without.gradQueries.map(Math.abs)), 'of lists of one').to.equal(0);
        continue;
      }
      // By the dense path, which sums in another order.
      const barely = await run(file, item, 1e-30);
      expect(barely.contrastive).to.be.closeTo(item.contrastive, 1e-9 * Math.max(1e-3, Math.abs(item.contrastive)));
      expectClose(without.gradQueries, Array.from(barely.gradQueries), 1e-12);
      expectClose(without.gradPassages, Array.from(barely.gradPassages), 1e-12);
    }
  });
});

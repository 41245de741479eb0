import { expect } from 'chai';
import { type LossArgs, native, runJob } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { expectClose, norm } from './helpers.js';

const loss = {
  ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.1 },
  ...{ contrastiveWeight: 0.5, listwiseWeight: 1, maskThreshold: 0.6 },
};

interface Size {
  queries: number;
  passages: number;
  listLength: number;
}

/** Lists of distinct passages that name each passage at least once, and so many more than once. */
function randomTask({ queries, passages, listLength }: Size, dimension: number): LossArgs {
  const random = Random.for(1, 'losses', queries);
  const rowsOf = (count: number) => Array.from({ length: count }, (_, row) => row);
  const every = random.shuffle(rowsOf(passages));
  const rows = rowsOf(queries).flatMap((i) => {
    const list = new Set(every.slice(i * listLength, (i + 1) * listLength));
    while (list.size < listLength) list.add(random.integer(passages));
    return [...list];
  });
  const unit = (count: number) =>
    Float64Array.from(
      rowsOf(count).flatMap(() => {
        const vector = Array.from({ length: dimension }, () => random.float() - 0.5);
        const length = norm(vector);
        return vector.map((value) => value / length);
      }),
    );
  // Of each list some are masked beside the first.
  const teacher = Float64Array.from({ length: rows.length }, (_, slot) =>
    slot % listLength ? 0.9 * random.float() : 0.9 + 0.1 * random.float(),
  );
  return {
    ...{ queries: unit(queries), passages: unit(passages), dimension },
    ...{ rows: Int32Array.from(rows), teacher, listLength, loss },
  };
}

/** Losses and gradients straight from the definitions, slot by slot: each slot is a passage of its own until the end. */
function overSlots({ queries, passages, dimension, rows, teacher, listLength, loss }: LossArgs) {
  const n = queries.length / dimension;
  const [gradQueries, gradPassages] = [new Float64Array(queries.length), new Float64Array(passages.length)];
  let [listwise, contrastive] = [0, 0];
  for (let i = 0; i < n; i++) {
    const scores = Float64Array.from(rows, (row) => {
      let sum = 0;
      for (let k = 0; k < dimension; k++) sum += queries[i * dimension + k]! * passages[row * dimension + k]!;
      return sum;
    });
    const gradScores = new Float64Array(rows.length);
    const first = i * listLength;
    const own = Array.from({ length: listLength }, (_, j) => first + j);
    const student = softmax(own.map((slot) => scores[slot]! / loss.studentTemperature));
    const target = softmax(own.map((slot) => teacher[slot]! / loss.teacherTemperature));
    own.forEach((slot, j) => {
      listwise += (target[j]! * Math.log(target[j]! / student[j]!)) / n;
      gradScores[slot]! += (loss.listwiseWeight * (student[j]! - target[j]!)) / (n * loss.studentTemperature);
    });
    const bar = loss.maskThreshold * teacher[first]!;
    const masked = new Set(own.filter((slot) => slot === first || teacher[slot]! > bar).map((slot) => rows[slot]!));
    const terms = scores.map((score, slot) =>
      slot === first || !masked.has(rows[slot]!) ? Math.exp(score / loss.contrastiveTemperature) : 0,
    );
    const sum = terms.reduce((a, b) => a + b);
    contrastive -= Math.log(terms[first]! / sum) / n;
    terms.forEach((term, slot) => {
      const share = term / sum - (slot === first ? 1 : 0);
      gradScores[slot]! += (loss.contrastiveWeight * share) / (n * loss.contrastiveTemperature);
    });
    rows.forEach((row, slot) => {
      for (let k = 0; k < dimension; k++) {
        gradQueries[i * dimension + k]! += gradScores[slot]! * passages[row * dimension + k]!;
        gradPassages[row * dimension + k]! += gradScores[slot]! * queries[i * dimension + k]!;
      }
    });
  }
  const whole = loss.listwiseWeight * listwise + loss.contrastiveWeight * contrastive;
  return { listwise, contrastive, loss: whole, gradQueries, gradPassages };
}

function softmax(logits: number[]): number[] {
  const terms = logits.map((logit) => Math.exp(logit));
  const sum = terms.reduce((a, b) => a + b);
  return terms.map((term) => term / sum);
}

describe('NativeAddon.losses, over several blocks of passages,', () => {
  const cases: (Size & { blocks: string })[] = [
    { queries: 40, passages: 2500, listLength: 100, blocks: 'two blocks of 1,024 passages and a smaller one' },
    { queries: 1500, passages: 1600, listLength: 2, blocks: 'blocks of 699 passages, for there are 1,500 queries' },
  ];
  for (const { blocks, ...size } of cases) {
    for (const contrastiveWeight of [loss.contrastiveWeight, 0]) {
      it(`are the definitions' in double precision (${blocks}; InfoNCE of weight ${contrastiveWeight})`, async () => {
        const args = { ...randomTask(size, 5), loss: { ...loss, contrastiveWeight } };
        const named = new Set(args.rows);
        expect(named.size, 'passages that are named').to.be.above(0.9 * size.passages);
        expect(named.size, 'passages that are named').to.be.below(args.rows.length - 500);
        const [actual, expected] = [await runJob(() => native().losses(args)), overSlots(args)];
        const expectLoss = (value: number | undefined, name: 'listwise' | 'contrastive' | 'loss') =>
          expect(value, name).to.be.closeTo(expected[name], 1e-11 * expected[name]);
        expectLoss(actual.listwise, 'listwise');
        expectLoss(actual.loss, 'loss');
        if (contrastiveWeight > 0) expectLoss(actual.contrastive, 'contrastive');
        else expect(actual).not.to.have.property('contrastive');
        for (const name of ['gradQueries', 'gradPassages'] as const) {
          expect(norm(expected[name]), name).to.be.above(0.01);
          const largest = expected[name].reduce((most, one) => Math.max(most, Math.abs(one)), 0);
          expectClose(actual[name], expected[name], { atol: 1e-11 * largest }, name);
        }
      });
    }
  }
});

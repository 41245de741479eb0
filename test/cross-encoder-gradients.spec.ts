import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { scoringSpec } from '../lib/models/cross-encoder.js';
import { readCrossEncoderDirectory } from '../lib/models/cross-encoder-directory.js';
import { PairTokenizer } from '../lib/models/pairs.js';
import { Tokenizer } from '../lib/models/tokenizer.js';
import { type EncoderSpec, native, type PairBatchArgs, type PairLoss, runJob } from '../lib/native.js';
import { expectClose, norm, readSafetensors } from './helpers.js';
import { rejection } from './rejection.js';

const models = fileURLToPath(new URL('fixtures/parity/cross-encoders', import.meta.url));
const FAMILIES = ['bert', 'roberta', 'distilbert', 'mpnet', 'modernbert-mean'];
const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };
/** Those of make-scoring-gradients.py: three lists of five. */
const LABELS = [...[1, 0, 0, 0, 0], ...[0, 1, 0.5, 0, 0], ...[0, 0, 0.25, 1, 1]];

async function batchOf(name: string): Promise<{ spec: EncoderSpec; batch: Omit<PairBatchArgs, 'loss'> }> {
  const directory = await readCrossEncoderDirectory(join(models, name));
  const tokenizer = await PairTokenizer.create(await Tokenizer.load(directory), { maxLength: 40 });
  const { pairs } = JSON.parse(readFileSync(join(models, name, 'expected.json'), 'utf8'));
  const asPairs = pairs.map(([query, passage]: [string, string]) => ({ query, passage }));
  const { packed } = await tokenizer.pack(asPairs);
  return {
    spec: { ...scoringSpec(directory), device: 'cpu', precision: 'fp32' },
    batch: {
      ...{ pairs: packed, labels: Float64Array.from(LABELS), listLength: 5 },
      ...{ pooling: directory.head.pooling, tokenBudget: 4096, keepBytes: 2 ** 30 },
    },
  };
}

/** The loss of a step, its gradients by name, and the loss that evaluate() gives before it. */
async function stepOf(spec: EncoderSpec, batch: PairBatchArgs) {
  const encoder = await runJob(() => native().loadEncoder(spec));
  const trainer = native().createTrainer(encoder, optimizer);
  const evaluated = await runJob(() => trainer.evaluate(batch));
  const result = await runJob(() => trainer.step({ ...batch, learningRate: 0 }));
  const gradients = new Map(encoder.parameterNames().map((name) => [name, trainer.gradient(name)]));
  trainer.dispose();
  encoder.dispose();
  return { evaluated, result, gradients };
}

function metadataOf(name: string): Record<string, string> {
  const bytes = readFileSync(join(models, name, 'gradients.safetensors'));
  return JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString('utf8')).__metadata__;
}

describe("a cross-encoder's training step", () => {
  for (const name of FAMILIES) {
    for (const loss of ['listwise', 'bce'] satisfies PairLoss[]) {
      it(`has the loss and the gradient of PyTorch's autograd in double precision (${name}, ${loss})`, async () => {
        const { spec, batch } = await batchOf(name);
        const { evaluated, result, gradients } = await stepOf(spec, { ...batch, loss });
        expect(evaluated).to.have.all.keys('loss');
        expect(evaluated.loss).to.be.closeTo(result.loss, 1e-6);
        expect(result.loss).to.be.closeTo(Number(metadataOf(name)[loss]), 2e-6);
        const all = Object.entries(readSafetensors(join(models, name, 'gradients.safetensors')));
        const expected = all.filter(([key]) => key.startsWith(`${loss}/`));
        expect(expected.map(([key]) => key.slice(loss.length + 1))).to.have.members([...gradients.keys()]);
        const whole = norm(expected.map(([, { values }]) => norm(values)));
        expect(whole).to.be.above(0.01);
        for (const [key, { values }] of expected) {
          const gradient = gradients.get(key.slice(loss.length + 1))!;
          expectClose(gradient, values, { rtol: 1e-4, atol: 2e-6 * norm(values) + 1e-6 * whole }, key);
        }
      });
    }
  }

  for (const kernels of ['portable', 'device'] as const) {
    it(`has that gradient by ${kernels} kernels, too`, async () => {
      const { spec, batch } = await batchOf('bert');
      const [plain, other] = await Promise.all(
        [spec, { ...spec, kernels }].map((one) => stepOf(one, { ...batch, loss: 'listwise' })),
      );
      expect(other!.result.loss).to.be.closeTo(plain!.result.loss, 1e-6);
      for (const [name, gradient] of plain!.gradients) {
        expectClose(other!.gradients.get(name)!, gradient, { atol: 1e-5 * norm(gradient) + 1e-7 }, name);
      }
    });
  }

  it('gives the same gradient however the batch is cut, and whatever is kept', async () => {
    const { spec, batch } = await batchOf('bert');
    const whole = await stepOf(spec, { ...batch, loss: 'listwise' });
    const length = norm([...whole.gradients.values()].map((one) => norm(one)));
    for (const cut of [
      { tokenBudget: 40, keepBytes: 0 },
      { tokenBudget: 100, keepBytes: 2 ** 15 },
    ]) {
      const other = await stepOf(spec, { ...batch, ...cut, loss: 'listwise' });
      expect(other.result.recomputedTokens).to.be.above(0);
      expect(other.result.loss).to.be.closeTo(whole.result.loss, 1e-6);
      for (const [name, gradient] of whole.gradients) {
        expectClose(other.gradients.get(name)!, gradient, { atol: 2e-6 * norm(gradient) + 1e-6 * length }, name);
      }
    }
  });

  it('refuses labels that cannot be, naming their place', async () => {
    const { spec, batch } = await batchOf('bert');
    const messageOf = async (labels: number[], loss: PairLoss, change: object = {}) => {
      const step = { ...batch, labels: Float64Array.from(labels), loss, ...change };
      return (await rejection(stepOf(spec, step))).message;
    };
    const changed = (place: number, label: number) => LABELS.map((one, i) => (i === place ? label : one));
    expect(await messageOf(changed(7, -1), 'listwise')).to.equal(
      'Expected a finite number of at least 0 as the label of pair 2 of list 1 of the batch but received -1.000000.',
    );
    expect(await messageOf(changed(3, Number.NaN), 'bce')).to.match(
      /^Expected a finite number of at least 0 as the .*nan/,
    );
    expect(await messageOf(changed(5, 1.5), 'bce')).to.equal(
      'Expected a number from 0 to 1 as the label of pair 0 of list 1 of the batch but received 1.500000.',
    );
    expect(await messageOf(changed(0, 0), 'listwise')).to.equal(
      'Expected a label above 0, and a finite sum, in list 0 of the batch but the sum is 0.000000.',
    );
    expect(await messageOf(LABELS.slice(1), 'bce')).to.equal(
      'Expected as many labels as pairs, in whole lists of 5, but received 14 labels for 15 pairs.',
    );
    expect(await messageOf(LABELS, 'hinge' as PairLoss)).to.match(/'listwise' or 'bce'/);
  });

  it('needs a model that gives one number a pair', async () => {
    const { spec, batch } = await batchOf('bert');
    const { dense: _, ...headless } = spec;
    expect((await rejection(stepOf(headless, { ...batch, loss: 'bce' }))).message).to.equal(
      'Expected a model that gives one number a pair but this one gives 32.',
    );
  });
});

import { expect } from 'chai';
import { readModelDirectory } from '../lib/models/directory.js';
import { gatherTexts } from '../lib/models/packed-texts.js';
import { Tokenizer } from '../lib/models/tokenizer.js';
import {
  type BatchArgs,
  type EncoderSpec,
  type NativeEncoder,
  native,
  type PackedTexts,
  type Pooling,
  runJob,
  type StepResult,
} from '../lib/native.js';
import { Random } from '../lib/random.js';
import { expectClose, norm, randomTexts, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

const directory = writeTinyModel();
const POOLINGS = ['mean', 'first-token'] as const;
const loss = {
  ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.1 },
  ...{ contrastiveWeight: 0.5, listwiseWeight: 1, maskThreshold: 0.6 },
};

/** What computes, where it is not the CPU's own kernels; and another model than the usual one. */
type Encoding = Pick<EncoderSpec, 'kernels'> & { model?: string };

async function loadEncoder({ model = directory, ...kernels }: Encoding = {}): Promise<NativeEncoder> {
  const { weightFiles: files, architecture, weightNames } = await readModelDirectory(model);
  const spec = { files, architecture, weightNames, device: 'cpu', precision: 'fp32', ...kernels } as const;
  return runJob(() => native().loadEncoder(spec));
}

async function tokens(texts: string[]): Promise<PackedTexts> {
  return (await Tokenizer.load(await readModelDirectory(directory))).pack(texts);
}

/** One step from fresh weights: its losses, and the gradient of every parameter. */
async function stepOnce(
  args: BatchArgs,
  encoding?: Encoding,
): Promise<{ result: StepResult; gradients: Map<string, Float32Array> }> {
  const encoder = await loadEncoder(encoding);
  const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };
  const trainer = native().createTrainer(encoder, optimizer);
  const result = await runJob(() => trainer.step({ ...args, learningRate: 1e-3 }));
  const gradients = new Map(encoder.parameterNames().map((name) => [name, trainer.gradient(name)]));
  trainer.dispose();
  encoder.dispose();
  return { result, gradients };
}

type Step = Awaited<ReturnType<typeof stepOnce>>;

function expectSameStep(actual: Step, expected: Step): void {
  for (const quantity of ['listwise', 'contrastive', 'loss', 'gradNorm'] as const) {
    expectClose([actual.result[quantity]!], [expected.result[quantity]!], { rtol: 1e-5 }, quantity);
  }
  for (const [name, gradient] of expected.gradients) {
    // The gradient of the keys' biases is 0 in theory: what is there are rounding errors of the whole.
    const atol = name.endsWith('key.bias') ? 1e-6 * expected.result.gradNorm : 1e-5 * norm(gradient);
    expectClose(actual.gradients.get(name)!, gradient, { atol }, `gradient of ${name}`);
  }
}

/** 12 queries with lists of 5 out of 14 passages; the best three of each list are masked by their scores. */
async function repeatedBatch(): Promise<BatchArgs> {
  const random = Random.for(2, 'batch');
  const [n, u, listLength] = [12, 14, 5];
  const rows = Array.from({ length: n }, () =>
    random.shuffle(Array.from({ length: u }, (_, row) => row)).slice(0, listLength),
  );
  const teacher = Array.from({ length: n }, () =>
    [0.9, 0.8, 0.6, 0.3, 0.1].map((score) => score + 0.05 * random.float()),
  );
  return {
    queries: await tokens(randomTexts(n, { longest: 3, seed: 3 })),
    passages: await tokens(randomTexts(u, { longest: 10, seed: 4 })),
    rows: Int32Array.from(rows.flat()),
    teacher: Float64Array.from(teacher.flat()),
    ...{ listLength, pooling: 'mean', tokenBudget: 4096, keepBytes: 2 ** 30, loss },
  };
}

describe('encoding', () => {
  for (const pooling of ['mean', 'first-token'] as const) {
    it(`gives packed texts what they get one at a time, in micro-batches of any size (${pooling})`, async () => {
      const encoder = await loadEncoder();
      const texts = await tokens(['', ...randomTexts(40, { longest: 12 })]);
      const encode = (packed: PackedTexts, tokenBudget: number) =>
        runJob(() => encoder.encode({ ...packed, pooling, normalize: true, tokenBudget }));
      const alone: number[] = [];
      for (let row = 0; row < 41; row++) alone.push(...(await encode(gatherTexts(texts, [row]), 4096)));
      expect(norm(alone)).to.be.closeTo(Math.sqrt(41), 1e-3);
      for (const tokenBudget of [1, 33, 100, 4096]) {
        expectClose(
          await encode(texts, tokenBudget),
          alone,
          { atol: 2e-6 },
          `embeddings, ${tokenBudget} tokens at a time`,
        );
      }
      encoder.dispose();
    });
  }
});

describe('a training step', () => {
  it('reaches every parameter but the biases of keys, whose gradient is 0 in theory', async () => {
    const { gradients, result } = await stepOnce(await repeatedBatch());
    expect(result.gradNorm).to.be.above(0.1);
    for (const [name, gradient] of gradients) {
      const share = norm(gradient) / result.gradNorm;
      if (name.endsWith('key.bias')) expect(share, name).to.be.below(1e-5);
      else expect(share, name).to.be.above(1e-4);
    }
  });

  for (const [tokenBudget, keepBytes] of [
    [1, 0],
    [40, 0],
    [40, 2 ** 30],
    [40, 200_000],
    [300, 0],
  ] as const) {
    for (const pooling of POOLINGS) {
      const what = `${pooling}, ${keepBytes} bytes kept`;
      it(`is the same in micro-batches of ${tokenBudget} tokens (${what})`, async () => {
        const batch = { ...(await repeatedBatch()), pooling };
        const whole = await stepOnce(batch);
        const cut = await stepOnce({ ...batch, tokenBudget, keepBytes });
        expectSameStep(cut, whole);
        expect(whole.result.recomputedTokens).to.equal(0);
        if (keepBytes === 0) expect(cut.result.recomputedTokens).to.equal(whole.result.tokens);
      });
    }
  }

  for (const pooling of POOLINGS) {
    it(`has the same bits whatever is kept for the way back (${pooling})`, async () => {
      const batch = { ...(await repeatedBatch()), pooling, tokenBudget: 40 };
      const [all, some, nothing] = await Promise.all(
        [2 ** 30, 200_000, 0].map((keepBytes) => stepOnce({ ...batch, keepBytes })),
      );
      expect(some!.result.recomputedTokens).to.be.within(1, some!.result.tokens - 1);
      expect(all!.result.gradNorm).to.be.above(0.1);
      for (const other of [some, nothing]) {
        expect(other!.result.loss).to.equal(all!.result.loss);
        expect(other!.gradients).to.deep.equal(all!.gradients);
      }
    });
  }

  it('keeps less where one token a text is read', async () => {
    const [mean, first] = await Promise.all(
      POOLINGS.map(async (pooling) => stepOnce({ ...(await repeatedBatch()), pooling })),
    );
    expect(first!.result.keptBytes / mean!.result.keptBytes).to.be.within(0.5, 0.9);
  });

  for (const contrastiveWeight of [0.5, 0]) {
    it(`has the same gradient the way a GPU computes losses, over several blocks (InfoNCE × ${contrastiveWeight})`, () =>
      expectSameOnDevice(contrastiveWeight));
  }

  async function expectSameOnDevice(contrastiveWeight: number): Promise<void> {
    const listLength = 6;
    const rows = Int32Array.from({ length: 250 * listLength }, (_, slot) => (slot * 7) % 1200);
    const batch: BatchArgs = {
      queries: await tokens(randomTexts(250, { longest: 3, seed: 5 })),
      passages: await tokens(randomTexts(1200, { longest: 4, seed: 6 })),
      rows,
      teacher: Float64Array.from(rows, (_, slot) => [0.9, 0.8, 0.5, 0.3, 0.2, 0.1][slot % listLength]!),
      ...{ listLength, pooling: 'mean', tokenBudget: 4096, keepBytes: 2 ** 30 },
      loss: { ...loss, contrastiveTemperature: 0.01, contrastiveWeight },
    };
    const expected = await stepOnce(batch, { kernels: 'portable' });
    const device = await stepOnce(batch, { kernels: 'device' });
    expect(expected.result.gradNorm).to.be.above(0.1);
    expectClose([device.result.loss], [expected.result.loss], { rtol: 1e-5 }, 'loss');
    for (const [name, gradient] of expected.gradients) {
      const atol = name.endsWith('key.bias') ? 1e-5 * expected.result.gradNorm : 1e-4 * norm(gradient);
      expectClose(device.gradients.get(name)!, gradient, { atol }, `gradient of ${name}`);
    }
  }

  for (const kernels of ['fused', 'device'] as const) {
    it(`without a weight for InfoNCE computes the slots alone, to the same gradient (${kernels})`, () =>
      expectSlotsAlone(kernels));
  }

  async function expectSlotsAlone(kernels: EncoderSpec['kernels']): Promise<void> {
    const batch = await repeatedBatch();
    const sparse = await stepOnce({ ...batch, loss: { ...loss, contrastiveWeight: 0 } }, { kernels });
    // Too small a weight to show, but one that has every score computed.
    const dense = await stepOnce({ ...batch, loss: { ...loss, contrastiveWeight: 1e-30 } });
    expect(sparse.result).to.not.have.property('contrastive');
    expect(dense.result.contrastive).to.be.above(0.1);
    expect(sparse.result.gradNorm).to.be.above(0.1);
    expectSameStep({ ...sparse, result: { ...sparse.result, contrastive: dense.result.contrastive! } }, dense);
  }

  for (const [pooling, layers] of [
    ['mean', 2],
    ['mean', 1],
    ['first-token', 1],
    ['last-token', 1],
  ] as const) {
    it(`has the gradient that finite differences show (${pooling}, layers: ${layers})`, () =>
      expectDifferences(pooling, writeTinyModel(undefined, { config: { num_hidden_layers: layers } })));
  }

  async function expectDifferences(pooling: Pooling, model: string): Promise<void> {
    const batch = { ...(await repeatedBatch()), pooling };
    const { gradients } = await stepOnce(batch, { model });
    const encoder = await loadEncoder({ model });
    const optimizer = { beta1: 0, beta2: 0, epsilon: 1e30, weightDecay: 0, clip: 0 };
    const trainer = native().createTrainer(encoder, optimizer);
    // With such an epsilon AdamW moves each weight by -rate · gradient / 1e30: a tiny step along the gradient, whose
    // effect on the loss is -step · |gradient|².
    const before = await runJob(() => trainer.evaluate(batch));
    const step = 1e-4;
    await runJob(() => trainer.step({ ...batch, learningRate: step * 1e30 }));
    const after = await runJob(() => trainer.evaluate(batch));
    const squared = [...gradients.values()].reduce((sum, gradient) => sum + norm(gradient) ** 2, 0);
    expect(squared).to.be.above(0.01);
    expect((before.loss - after.loss) / (step * squared)).to.be.closeTo(1, 0.05);
    trainer.dispose();
    encoder.dispose();
  }

  it('counts a passage once for each slot it stands in: as if each slot were encoded by itself', async () => {
    // Passages 0 to 7 are the positives, each in its own list; 8 to 11 are weak candidates and stand in many. Where no
    // list shares a masked passage, masks by passage and masks by slot are the same.
    const rows = Array.from({ length: 8 }, (_, i) => [i, 8 + (i % 4), 8 + ((i + 1) % 4)]).flat();
    const batch = await repeatedBatch();
    const repeated: BatchArgs = {
      ...batch,
      queries: gatherTexts(batch.queries, [0, 1, 2, 3, 4, 5, 6, 7]),
      passages: gatherTexts(
        batch.passages,
        Array.from({ length: 12 }, (_, i) => i),
      ),
      rows: Int32Array.from(rows),
      teacher: Float64Array.from({ length: 24 }, (_, slot) => [0.9, 0.4, 0.2][slot % 3]!),
      listLength: 3,
    };
    const slots: BatchArgs = {
      ...repeated,
      passages: gatherTexts(repeated.passages, rows),
      rows: Int32Array.from(rows, (_, slot) => slot),
    };
    const [once, bySlot] = [await stepOnce(repeated), await stepOnce(slots)];
    expect(once.result.contrastive).to.be.above(0.1);
    expect(once.result.tokens).to.be.below(bySlot.result.tokens);
    expectSameStep(once, bySlot);
  });

  it('computes both losses as defined over slots, masks by passage included', async () => {
    const batch = await repeatedBatch();
    const encoder = await loadEncoder();
    const encode = (texts: PackedTexts) =>
      runJob(() => encoder.encode({ ...texts, pooling: 'mean', normalize: true, tokenBudget: 4096 }));
    const expected = lossesOverSlots(batch, await encode(batch.queries), await encode(batch.passages));
    const trainer = native().createTrainer(encoder, {
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
      clip: 0,
    });
    const actual = await runJob(() => trainer.evaluate(batch));
    expectClose(
      [actual.listwise, actual.contrastive],
      [expected.listwise, expected.contrastive],
      { rtol: 1e-6 },
      'losses',
    );
    trainer.dispose();
    encoder.dispose();
  });

  it('leaves the weights as they were when it is cancelled on the way', async () => {
    const batch = { ...(await repeatedBatch()), tokenBudget: 1, keepBytes: 0 };
    const encoder = await loadEncoder();
    const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clip: 1 };
    const trainer = native().createTrainer(encoder, optimizer);
    const weights = () => new Map(encoder.parameterNames().map((name) => [name, encoder.parameter(name)]));
    const before = weights();
    const stop = new AbortController();
    const reason = new Error('stop');
    const large = { ...batch, ...gatherMany(batch, 40), learningRate: 0.1 };
    const cancelled = rejection(runJob(() => trainer.step(large), stop.signal));
    while (trainer.progress().done < trainer.progress().total / 3 || trainer.progress().total === 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(trainer.progress().done).to.be.below(trainer.progress().total);
    stop.abort(reason);
    expect(await cancelled).to.equal(reason);
    expect(trainer.steps).to.equal(0);
    expect(weights()).to.deep.equal(before);
    await runJob(() => trainer.step({ ...large, learningRate: 0.1 }));
    expect(trainer.steps).to.equal(1);
    expect(weights()).to.not.deep.equal(before);
    trainer.dispose();
    encoder.dispose();
  });
});

/** The same batch with its queries and lists repeated. */
function gatherMany(batch: BatchArgs, times: number): Pick<BatchArgs, 'queries' | 'rows' | 'teacher'> {
  const n = batch.queries.offsets.length - 1;
  const repeat = (values: ArrayLike<number>) => Array.from({ length: times }, () => Array.from(values)).flat();
  return {
    queries: gatherTexts(
      batch.queries,
      Array.from({ length: n * times }, (_, i) => i % n),
    ),
    rows: Int32Array.from(repeat(batch.rows)),
    teacher: Float64Array.from(repeat(batch.teacher)),
  };
}

/** Both losses straight from their definitions, slot by slot, in double precision. */
function lossesOverSlots(batch: BatchArgs, queries: Float32Array, passages: Float32Array) {
  const { rows, teacher, listLength } = batch;
  const n = rows.length / listLength;
  const dimension = queries.length / n;
  const score = (query: number, passage: number) => {
    let sum = 0;
    for (let k = 0; k < dimension; k++) sum += queries[query * dimension + k]! * passages[passage * dimension + k]!;
    return sum;
  };
  const softmax = (scores: number[], temperature: number) => {
    const e = scores.map((one) => Math.exp(one / temperature));
    const z = e.reduce((sum, one) => sum + one);
    return e.map((one) => one / z);
  };
  let [listwise, contrastive] = [0, 0];
  for (let i = 0; i < n; i++) {
    const own = Array.from(rows.subarray(i * listLength, (i + 1) * listLength));
    const t = Array.from(teacher.subarray(i * listLength, (i + 1) * listLength));
    const student = softmax(
      own.map((passage) => score(i, passage)),
      loss.studentTemperature,
    );
    const target = softmax(t, loss.teacherTemperature);
    listwise += target.reduce((sum, one, j) => sum + one * Math.log(one / student[j]!), 0) / n;
    const masked = new Set(own.filter((_, j) => j === 0 || t[j]! > loss.maskThreshold * t[0]!));
    const positive = Math.exp(score(i, own[0]!) / loss.contrastiveTemperature);
    let z = positive;
    rows.forEach((passage, slot) => {
      if (slot !== i * listLength && !masked.has(passage))
        z += Math.exp(score(i, passage) / loss.contrastiveTemperature);
    });
    contrastive -= Math.log(positive / z) / n;
  }
  return { listwise, contrastive };
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { readModelDirectory } from '../../lib/models/directory.js';
import { supportedFamilies } from '../../lib/models/families.js';
import {
  type NativeEncoder,
  type NativeTrainer,
  native,
  type PackedTexts,
  type Pooling,
  runJob,
  type StepResult,
} from '../../lib/native.js';
import { makeBatch } from '../../lib/training/batches.js';
import { learningRateAt, type Schedule } from '../../lib/training/schedule.js';
import { MemoryTokens } from '../../lib/training/token-source.js';
import type { TrainingSet } from '../../lib/training/training-set.js';
import { expectClose, readSafetensors, type Tensors } from '../helpers.js';
import { missingFiles, parityFolders, TRAINING_FILES } from './directory.js';

const RTOL = 1e-4;

interface Run {
  pooling: 'mean' | 'firstToken';
  passage: number[][];
  batches: { query: number[][]; list: number[][]; teacher: number[][] }[];
  expected: (Pick<StepResult, 'listwise' | 'contrastive' | 'loss' | 'gradNorm'> & { learningRate: number })[];
  optimizer: { learningRate: number; weightDecay: number; warmupSteps: number; totalSteps: number; clip: number };
}

/** The defaults of spec and papers. */
const loss = {
  studentTemperature: 0.05,
  teacherTemperature: 0.3,
  contrastiveTemperature: 0.01,
  contrastiveWeight: 0.1,
  listwiseWeight: 1,
  maskThreshold: 0.6,
};

function pack(texts: number[][]): PackedTexts {
  const offsets = new Int32Array(texts.length + 1);
  for (const [i, text] of texts.entries()) offsets[i + 1] = offsets[i]! + text.length;
  return { ids: Int32Array.from(texts.flat()), offsets };
}

function trainingSet({ batches, passage }: Run): TrainingSet {
  const lists = batches.flatMap((batch) => batch.list);
  return {
    size: lists.length,
    listLength: lists[0]!.length,
    idOf: String,
    queries: new MemoryTokens(pack(batches.flatMap((batch) => batch.query))),
    passages: new MemoryTokens(pack(passage)),
    rows: Int32Array.from(lists.flat()),
    teacher: Float64Array.from(batches.flatMap((batch) => batch.teacher).flat()),
  };
}

const largest = (values: ArrayLike<number>) =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

describe('parity of training with the reference', () => {
  const runs = parityFolders('training');
  if (runs.length === 0) it('is compared where the parity directory has training');
  for (const { name, path: directory } of runs) {
    const missing = missingFiles(directory, TRAINING_FILES);
    if (missing.length > 0) {
      it(`is compared with ${name} where that has ${missing.join(', ')}`);
      continue;
    }
    const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'));
    if (!supportedFamilies.includes(config.model_type)) {
      it.skip(`${name} (${config.model_type}: not supported)`);
      continue;
    }
    describe(name, () => {
      const run: Run = JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8'));
      const gradients = readSafetensors(join(directory, 'first-gradient-clipped.safetensors'));
      const wholeGradient = largest(Object.values(gradients).map(({ values }) => largest(values)));
      const schedule: Schedule = { ...run.optimizer, minimumRateShare: 0.1 };
      const steps: StepResult[] = [];
      const actualGradients: Record<string, Float32Array> = {};
      let encoder: NativeEncoder;
      let trainer: NativeTrainer;

      before(async () => {
        const { weightFiles: files, architecture, weightNames } = await readModelDirectory(directory);
        const spec = { files, architecture, weightNames, device: 'cpu', precision: 'fp32' } as const;
        encoder = await runJob(() => native().loadEncoder(spec));
        const { weightDecay, clip } = run.optimizer;
        trainer = native().createTrainer(encoder, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay, clip });
        const set = trainingSet(run);
        const pooling: Pooling = run.pooling === 'firstToken' ? 'first-token' : run.pooling;
        let next = 0;
        for (const { list } of run.batches) {
          const places = Int32Array.from(list, () => next++);
          const { lists: _, ...batch } = await makeBatch(set, places);
          const learningRate = learningRateAt(steps.length, schedule);
          const args = { ...batch, pooling, tokenBudget: 64, keepBytes: 0, loss, learningRate };
          steps.push(await runJob(() => trainer.step(args)));
          if (steps.length > 1) continue;
          for (const parameter of encoder.parameterNames()) actualGradients[parameter] = trainer.gradient(parameter);
        }
      });
      after(() => {
        trainer?.dispose();
        encoder?.dispose();
      });

      it('follows the same learning rates', () => {
        const rates = run.expected.map((_, step) => learningRateAt(step, schedule));
        expectClose(
          rates,
          run.expected.map((step) => step.learningRate),
          { atol: 1e-12 },
          'rates',
        );
      });

      for (const quantity of ['listwise', 'contrastive', 'loss', 'gradNorm'] as const) {
        it(`gives the same ${quantity} in each step`, () => {
          const actual = steps.map((step) => step[quantity]!);
          expectClose(
            actual,
            run.expected.map((step) => step[quantity]!),
            { rtol: RTOL },
            quantity,
          );
        });
      }

      it('gives the same first gradient, after clipping', () => {
        expect(Object.keys(actualGradients)).to.have.members(trained(gradients, actualGradients));
        for (const [parameter, actual] of Object.entries(actualGradients)) {
          const { values } = gradients[parameter]!;
          // What is near 0 because its parts cancel is compared by the size of its tensor, and a tensor that is 0 in
          // theory by the size of the gradient.
          const atol = RTOL * Math.max(largest(values), 1e-5 * wholeGradient);
          expectClose(actual, values, { rtol: RTOL, atol }, parameter);
        }
      });

      it('ends with the same weights', () => {
        const final = readSafetensors(join(directory, 'final.safetensors'));
        const rates = run.expected.reduce((sum, { learningRate }) => sum + learningRate, 0);
        for (const parameter of encoder.parameterNames()) {
          const { values } = final[parameter]!;
          // The keys' biases move all scores of a query alike, so their gradient is 0 in theory, and AdamW makes steps of
          // rounding errors, which differ: they are only held to stay small against what the rates allow.
          const atol = parameter.endsWith('key.bias') ? 0.1 * rates : RTOL * largest(values);
          expectClose(encoder.parameter(parameter), values, { rtol: RTOL, atol }, parameter);
        }
      });
    });
  }
});

/** Names of the reference's gradients, less those of tensors that no loss reaches (a pooler). */
function trained(gradients: Tensors, actual: Record<string, Float32Array>): string[] {
  return Object.keys(gradients).filter((name) => name in actual || largest(gradients[name]!.values) > 0);
}

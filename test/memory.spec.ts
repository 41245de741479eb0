import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { StepResult, TrainerMemory } from '../lib/native.js';

const program = (name: string) => fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
const PLENTY = 2 ** 30;

interface Outcome {
  result?: StepResult;
  code?: string;
  message?: string;
  /** Distance of the gradient from that of a step with plenty of memory, relative. */
  off: number;
  steps: number;
  loss: number;
}

const run = <T>(...args: (string | number)[]) => runProgram<T>('memory', ...args);

async function runProgram<T>(name: string, ...args: (string | number)[]): Promise<T> {
  // One thread: libgomp ends the process if it can't make the others. One worker of Node's: each has a thread of its own,
  // and malloc reserves address space for each.
  const env = { ...process.env, OMP_NUM_THREADS: '1', UV_THREADPOOL_SIZE: '1' };
  const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', program(name), ...args.map(String)], {
    env,
  });
  return JSON.parse(stdout) as T;
}

describe('a training step under a real limit of memory', function () {
  this.timeout(120_000);

  it('lets go of what it kept, halves the micro-batches, and has the same gradient', async () => {
    const { result, off, loss } = await run<Outcome>(PLENTY, 100);
    expect(result!.shortages).to.be.above(0);
    expect(result!.tokenBudget).to.be.below(8192 / 2 + 1);
    expect(result!.recomputedTokens).to.be.above(0);
    expect(result!.loss).to.be.closeTo(loss, 1e-5 * loss);
    expect(off).to.be.below(3e-5);
  });

  it('starts the gradient again where memory runs out on the way back', async () => {
    // Without anything kept the way there takes little, the way back a whole micro-batch's activations.
    const { result, off } = await run<Outcome>(0, 50);
    expect(result!.shortages).to.be.above(0);
    expect(result!.keptBytes).to.equal(0);
    expect(result!.recomputedTokens).to.equal(result!.tokens);
    // Without a limit it is 250 MB; what else the process gives back meanwhile adds to the 50.
    expect(result!.peakBytes).to.be.below(80 * 2 ** 20);
    expect(off).to.be.below(3e-5);
  });

  it('is refused where not even one text fits, leaves the weights, and can be taken later', async () => {
    const { code, message, off, steps } = await run<Outcome>(0, 1);
    expect(code).to.equal('OUT_OF_MEMORY');
    expect(message).to.match(
      /^Out of memory with a single text of 120 tokens .* takes about \d+ MB; use shorter texts/,
    );
    expect(off).to.be.below(3e-5);
    expect(steps).to.equal(2);
  });
});

describe("attention's own memory", function () {
  this.timeout(120_000);

  it('is an error where there is none, and no end of the process', async () => {
    const { code, message, length } = await runProgram<{ code?: string; message?: string; length: number }>(
      'attention-room',
    );
    expect(code).to.equal('OUT_OF_MEMORY');
    expect(message).to.match(
      /^Out of memory: the system refused \d{8} bytes that one thread's attention works in; use shorter texts/,
    );
    expect(length).to.be.closeTo(1, 1e-5);
  });
});

describe('NativeTrainer.memory', function () {
  this.timeout(120_000);

  // 40 passages of 120 tokens: the last micro-batch, with what is left and the queries' 80, is 0.07, 0.7 and 0.39 of the
  // others' size. Blocks of theirs that are too large for it must not lie idle beside its own.
  for (const [keepBytes, tokenBudget, pooling] of [
    [0, 1200, 'mean'],
    [0, 1320, 'mean'],
    [0, 1440, 'mean'],
    [PLENTY, 1320, 'mean'],
    [PLENTY, 1320, 'first-token'],
  ] as const) {
    const kind = `keeps ${keepBytes ? 'everything' : 'nothing'}, in micro-batches of ${tokenBudget} tokens, by ${pooling}`;
    it(`foretells to a tenth what a step takes that ${kind}`, async () => {
      interface Measured {
        before: TrainerMemory;
        after: TrainerMemory;
        result: StepResult;
      }
      const { before, after, result } = await run<Measured>('measure', keepBytes, tokenBudget, pooling);
      const active = tokenBudget * (before.traceBytesPerToken + before.workBytesPerToken);
      const kept = (result.keptBytes * (result.tokens - tokenBudget)) / result.tokens;
      expect(result.peakBytes / (active + kept)).to.be.within(0.9, 1.1);
      const all = keepBytes ? result.tokens * before.traceBytesPerToken : 0;
      if (pooling === 'mean') expect(result.keptBytes).to.equal(all);
      else expect(result.keptBytes / all).to.be.within(0.5, 0.8);
      expect(result.shortages).to.equal(0);
      expect(before.stateBytes).to.be.above(0);
      expect([before.stateBytesMade, after.stateBytesMade]).to.deep.equal([0, before.stateBytes]);
      expect(before).to.not.have.property('freeDeviceBytes');
    });
  }

  it('has what a step leaves for the next, which takes no more beside it, until the trainer goes', async () => {
    interface Step {
      result: StepResult;
      idleBytes: number;
      rss: number;
      gradient: number;
    }
    type Held = Pick<Step, 'idleBytes' | 'rss'>;
    const { rows, before, after } = await run<{ rows: Step[]; before: Held; after: Held }>('again');
    const [first, again, other, little] = rows as [Step, Step, Step, Step];
    expect(first.idleBytes).to.be.within(0.9 * first.result.keptBytes, 1.1 * first.result.peakBytes);
    expect(first.gradient).to.be.above(0);
    expect(again.gradient).to.equal(first.gradient);
    for (const step of [again, other]) {
      expect(step.idleBytes).to.be.at.most(first.idleBytes);
      expect(step.rss).to.be.below(first.rss + 32 * 2 ** 20);
    }
    // Texts of 0.7 times the tokens take 0.7 times the memory, whatever was left.
    expect(other.result.peakBytes / first.result.peakBytes).to.be.within(0.6, 0.85);
    expect(little.idleBytes).to.be.below(0.4 * first.idleBytes);
    expect(after.idleBytes).to.equal(0);
    expect(before.rss - after.rss).to.be.above(0.8 * before.idleBytes);
  });

  it('leaves a step over four times the queries no more than the embeddings', async () => {
    interface Steps {
      memory: TrainerMemory;
      few: StepResult;
      many: StepResult;
    }
    const { memory, few, many } = await run<Steps>('many');
    expect(many.tokens).to.equal(4 * few.tokens);
    // 24 queries more, of five passages each.
    const embeddings = 24 * 6 * memory.bytesPerText;
    expect(many.peakBytes - few.peakBytes).to.be.at.most(embeddings + 2 ** 18);
  });
});

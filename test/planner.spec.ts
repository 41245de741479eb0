import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { StepResult, TrainerMemory } from '../lib/native.js';
import { formatMemorySize, parseMemorySize } from '../lib/training/memory-size.js';
import type { TrainingOptions } from '../lib/training/options.js';
import { describePlan, type MemoryLimits, planMemory } from '../lib/training/planner.js';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { trainListwise } from '../lib/training/train.js';
import { withChangedSteps } from './changed-steps.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { resultOf } from './training-runs.js';
import { trainingTask } from './training-task.js';

const MB = 1e6;

describe('planMemory', () => {
  // Round numbers near those of MiniLM: 1 kB for a token's work, 50 kB for its activations.
  const memory: TrainerMemory = {
    ...{
      traceBytesPerToken: 50_000,
      workBytesPerToken: 1000,
      bytesPerText: 1536,
      bytesPerQuery: 6000,
      bytesPerSlot: 200,
    },
    ...{ lossBytes: 10 * MB, stateBytes: 270 * MB, stateBytesMade: 0, idleBytes: 0 },
  };
  const batch = { queries: 100, slots: 2000, texts: 1100, tokens: 200_000, longest: 512, hasLossBlocks: true };
  const fixed = 270 * MB + 2 * 1100 * 1536 + 100 * 6000 + 2000 * 200 + 10 * MB;
  const cpu = (limits: Partial<MemoryLimits>) => ({
    device: 'cpu' as const,
    free: 100_000 * MB,
    used: 500 * MB,
    ...limits,
  });

  it('keeps all activations where they fit', () => {
    const plan = planMemory(batch, memory, cpu({}));
    expect(plan).to.include({ mode: 'keep', tokenBudget: 4096, wantedBytes: 10_000 * MB, boundBy: 'free memory' });
    expect(plan.keepBytes).to.be.above(plan.wantedBytes);
    expect(describePlan(plan)).to.equal(
      'all activations are kept (10.0 GB); micro-batches of 4096 tokens; room for a step: 70.0 GB (free memory)',
    );
  });

  it('keeps what fits beside the fixed part and one micro-batch, within the share of free memory', () => {
    const plan = planMemory(batch, memory, cpu({ free: 4000 * MB }));
    expect(plan).to.include({ mode: 'mix', roomBytes: 2800 * MB, tokenBudget: 4096 });
    expect(plan.keepBytes).to.equal(2800 * MB - fixed - 4096 * 51_000);
    expect(describePlan(plan)).to.match(/^2\.3 GB of 10\.0 GB of activations are kept, the rest is computed twice; /);
  });

  it('plans with what earlier steps left as with free memory', () => {
    const [free, used] = [4000 * MB, 3500 * MB];
    const idle = { ...memory, idleBytes: 3000 * MB };
    expect(planMemory(batch, idle, cpu({ free })).roomBytes).to.equal(0.7 * 7000 * MB);
    const bounded = planMemory(batch, idle, cpu({ free, used, maxMemory: 1500 * MB }));
    expect(bounded).to.include({ roomBytes: 1000 * MB, boundBy: 'maxMemory' });
    // 500 MB are taken, and a micro-batch of the longest text and what is fixed do not fit into 20 more.
    const tooLittle = () => planMemory(batch, idle, cpu({ free, used, maxMemory: 520 * MB }));
    expect(tooLittle).to.throw(`at least ${formatMemorySize(500 * MB + fixed + 512 * 51_000)}`);
    const swapped = planMemory(batch, idle, cpu({ free, used: 0, maxMemory: 1000 * MB }));
    expect(swapped.roomBytes).to.equal(1000 * MB);
  });

  it('leaves no room for blocks of a loss that has none', () => {
    const free = 4000 * MB;
    const pairs = planMemory({ ...batch, hasLossBlocks: false }, memory, cpu({ free }));
    expect(pairs.keepBytes - planMemory(batch, memory, cpu({ free })).keepBytes).to.equal(memory.lossBytes);
  });

  it('computes activations twice in smaller micro-batches where little is left, and never goes below a text', () => {
    const small = planMemory(batch, memory, cpu({ free: (fixed + 150 * MB) / 0.7 }));
    expect(small).to.include({ mode: 'mix', tokenBudget: 1024 });
    expect(small.keepBytes).to.be.within(97 * MB, 98 * MB);
    expect(planMemory(batch, memory, cpu({ free: (fixed + 40 * MB) / 0.7 }))).to.include({
      mode: 'recompute',
      tokenBudget: 512,
    });
    expect(planMemory(batch, memory, cpu({ free: 0 }))).to.include({
      mode: 'recompute',
      keepBytes: 0,
      tokenBudget: 512,
    });
  });

  it('counts gradient and moments only until they are there', () => {
    const made = planMemory(batch, { ...memory, stateBytesMade: 270 * MB }, cpu({ free: 4000 * MB }));
    expect(made.keepBytes - planMemory(batch, memory, cpu({ free: 4000 * MB })).keepBytes).to.equal(270 * MB);
  });

  it('keeps within maxMemory, what the process already has included', () => {
    const plan = planMemory(batch, memory, cpu({ maxMemory: 2000 * MB }));
    expect(plan).to.include({ boundBy: 'maxMemory', roomBytes: 1500 * MB, mode: 'mix' });
    expect(() => planMemory(batch, memory, cpu({ maxMemory: 700 * MB }))).to.throw(
      'Expected at least 810 MB, which model, optimiser and one micro-batch take, for maxMemory but received "700 MB"; ' +
        'give more, or train with smaller batches, shorter texts or a smaller model.',
    );
  });

  it('takes what was settled or set as it is', () => {
    const plan = planMemory(batch, memory, cpu({ tokenBudget: 100, keepBytes: 7 }));
    expect(plan).to.include({ tokenBudget: 100, keepBytes: 7, mode: 'recompute' });
  });

  it("plans with a GPU's own free memory, or with little where it cannot be told", () => {
    const limits = { device: 'cuda' as const, free: 1, used: 1 };
    const told = planMemory(batch, { ...memory, freeDeviceBytes: 80_000 * MB }, limits);
    expect(told).to.include({ mode: 'keep', roomBytes: 72_000 * MB, tokenBudget: 32_768 });
    expect(planMemory(batch, memory, limits)).to.include({ mode: 'mix', roomBytes: 2 ** 32 });
  });
});

describe('parseMemorySize', () => {
  it('reads decimal and binary units', () => {
    const sizes = ['8GB', '8 GiB', '1.5g', '512MB', '300', 5, '2 kib'].map((size) =>
      parseMemorySize(size, 'maxMemory'),
    );
    expect(sizes).to.deep.equal([8e9, 8 * 2 ** 30, 1.5e9, 512e6, 300, 5, 2048]);
    expect([999, 1e6, 2.54e9].map(formatMemorySize)).to.deep.equal(['999 bytes', '1 MB', '2.5 GB']);
  });

  for (const size of ['', 'much', '8XB', 0, -1, Number.NaN, '1e9']) {
    it(`refuses ${JSON.stringify(size)}`, () => {
      expect(() => parseMemorySize(size, 'maxMemory')).to.throw(
        /^Expected bytes, as a number or a text such as '8GB', for maxMemory but received /,
      );
    });
  }
});

describe('trainListwise and memory', () => {
  const { corpus, train } = trainingTask();
  const quick = { model: writeTinyModel(), corpus, lists: train, batchSize: 10, maxSteps: 2, teacherTemperature: 0.3 };

  it('says and logs what it plans, and what each step took', async () => {
    const directory = join(temporaryDirectory(), 'run');
    const events: TrainingEvent[] = [];
    const onEvent = (event: TrainingEvent) => events.push(event);
    await trainListwise({ ...quick, output: directory, keepBytes: 0, onEvent });
    const log = readFileSync(join(directory, 'log.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const plans = log.filter(({ kind }) => kind === 'plan');
    expect(plans).to.have.length(1);
    expect(plans[0]).to.include({ step: 1, mode: 'recompute', keepBytes: 0, tokenBudget: 4096 });
    const { kind: _, step, ...plan } = plans[0];
    expect(events).to.deep.equal([{ kind: 'plan', step, plan }]);
    for (const record of log.filter(({ kind }) => kind === 'step')) {
      expect(record.recomputedTokens).to.equal(record.tokens);
      expect(record.repeatedSlots).to.equal(60 - record.uniquePassages);
      expect(record.rssBytes).to.be.within(1e7, record.peakRssBytes);
    }
  });

  it('logs how much a step kept and took: the activations that the plan says, and those of one micro-batch else', async () => {
    // Matrices large enough that the pool counts them.
    const model = writeTinyModel(undefined, { config: { hidden_size: 256, intermediate_size: 1024 } });
    const stepsThatKeep = async (keepBytes?: number) => {
      const directory = join(temporaryDirectory(), 'run');
      await trainListwise({ ...quick, model, output: directory, tokenBudget: 400, keepBytes });
      const log = readFileSync(join(directory, 'log.jsonl'), 'utf8').trim().split('\n');
      return log.map((line) => JSON.parse(line));
    };
    const [all, nothing] = [await stepsThatKeep(), await stepsThatKeep(0)];
    const [plan] = all.filter(({ kind }) => kind === 'plan');
    const [kept, recomputed] = [all, nothing].map((log) => log.find(({ kind }) => kind === 'step'));
    expect(plan.mode).to.equal('keep');
    expect(kept).to.include({ keptBytes: plan.wantedBytes, recomputedTokens: 0 });
    expect(recomputed).to.include({ keptBytes: 0, recomputedTokens: recomputed.tokens, shortages: 0 });
    expect(kept.peakBytes).to.be.above(kept.keptBytes);
    // They differ by what is kept of the micro-batches that are not under way; small matrices are not in the peak.
    const others = (1 - 400 / kept.tokens) * plan.wantedBytes;
    expect(kept.peakBytes - recomputed.peakBytes).to.be.within(0.4 * others, 1.3 * others);
  });

  it('goes on after a step that ran short of memory as that run did, in smaller micro-batches', async () => {
    const newOutput = () => join(temporaryDirectory(), 'run');
    const options = { ...quick, maxSteps: 6, checkpointEvery: 100 };
    const budgets: number[] = [];
    // As the addon tells of it where it had to cut the third step smaller.
    const short = {
      before: <A extends { tokenBudget: number }>(step: number, args: A): A => {
        budgets.push(args.tokenBudget);
        return step === 3 ? { ...args, tokenBudget: 64 } : args;
      },
      after: (step: number, result: StepResult): StepResult => (step === 3 ? { ...result, shortages: 1 } : result),
    };
    const [whole, output] = [newOutput(), newOutput()];
    await withChangedSteps(short, () => trainListwise({ ...options, output: whole }));
    expect(budgets).to.deep.equal([4096, 4096, 4096, 64, 64, 64]);
    const stop = new AbortController();
    const reason = new Error('stopped on purpose');
    const onStep = ({ step }: { step: number }) => step === 5 && stop.abort(reason);
    const work = () => rejection(trainListwise({ ...options, output, signal: stop.signal, onStep }));
    expect(await withChangedSteps(short, work)).to.equal(reason);
    expect(readdirSync(join(output, 'checkpoints'))).to.include('step-3');
    const events: TrainingEvent[] = [];
    await trainListwise({ ...options, output, onEvent: (event) => events.push(event) });
    expect(events[0]!.kind).to.equal('resumed');
    expect(resultOf(output)).to.deep.equal(resultOf(whole));
  });

  describe('killed before its first checkpoint with steps', () => {
    const weightsIn = (directory: string) => readFileSync(join(directory, 'model', 'model.safetensors'));
    const newOutput = () => join(temporaryDirectory(), 'run');
    const options = { ...quick, maxSteps: 4, checkpointEvery: 100 };

    /** Trains with so much memory free, or with what there is. */
    async function train(more: { output: string } & Partial<TrainingOptions>, free?: number) {
      const told = process.availableMemory;
      if (free !== undefined) process.availableMemory = () => free;
      const budgets: number[] = [];
      const onEvent = (event: TrainingEvent) => event.kind === 'plan' && budgets.push(event.plan.tokenBudget);
      try {
        await trainListwise({ ...options, onEvent, ...more });
      } finally {
        process.availableMemory = told;
      }
      return budgets;
    }

    /** Where there is hardly any memory, until after the second step. */
    async function trainAndStop(): Promise<string> {
      const output = newOutput();
      const stop = new AbortController();
      const onStep = ({ step }: { step: number }) => step === 2 && stop.abort(new Error('stopped'));
      expect(await rejection(train({ output, signal: stop.signal, onStep }, 0))).to.have.property('message', 'stopped');
      expect(readdirSync(join(output, 'checkpoints'))).to.deep.equal(['step-0']);
      return output;
    }

    it('cuts its steps as it began, however much memory is free now, and ends with the same bits', async () => {
      const [whole, plenty] = [newOutput(), newOutput()];
      expect(await train({ output: whole }, 0)).to.deep.equal([64]);
      expect(await train({ output: plenty })).to.deep.equal([4096]);
      expect(weightsIn(plenty).equals(weightsIn(whole)), 'the cut makes a difference').to.equal(false);
      const output = await trainAndStop();
      expect(await train({ output })).to.deep.equal([64]);
      expect(weightsIn(output).equals(weightsIn(whole))).to.equal(true);
    });

    it('takes a smaller budget that is asked for now, and no larger one', async () => {
      expect(await train({ output: await trainAndStop(), tokenBudget: 48 })).to.deep.equal([48]);
      expect(await train({ output: await trainAndStop(), tokenBudget: 1000 })).to.deep.equal([64]);
    });
  });

  it('refuses a bound that no step fits in, before any step', async () => {
    const error = await rejection(
      trainListwise({ ...quick, output: join(temporaryDirectory(), 'run'), maxMemory: '10MB' }),
    );
    expect(error).to.have.property('code', 'INVALID_ARGUMENT');
    expect(error.message).to.match(
      /^Expected at least [\d.]+ [MG]B, which model, .* for maxMemory but received "10 MB"; give more/,
    );
  });
});

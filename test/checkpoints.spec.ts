import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadModel } from '../lib/models/model.js';
import { saveModel } from '../lib/models/saved-model.js';
import { weightsFile, writeWeights } from '../lib/models/weights.js';
import { CheckpointSchedule } from '../lib/training/checkpoint-schedule.js';
import { type CheckpointFacts, Checkpoints } from '../lib/training/checkpoints.js';
import { NOTHING_SEEN } from '../lib/training/early-stopping.js';
import type { RunInputs } from '../lib/training/run-inputs.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';

function factsOf(step: number, logBytes = 0): CheckpointFacts {
  return {
    inputs: {} as RunInputs,
    state: { step, epoch: 0, batch: step, evaluationDue: false, earlyStopping: NOTHING_SEEN, evaluations: [] },
    ...{ teacherTemperature: 0.3, logBytes, machine: {} },
  };
}

const weights = async (file: string) => writeFileSync(file, 'weights');
const stepsIn = (directory: string) => readdirSync(directory).sort();

describe('Checkpoints', () => {
  it('keeps the one that it wrote last, though one of a later step that is not whole is there', async () => {
    const directory = temporaryDirectory();
    const checkpoints = new Checkpoints(directory, 1);
    mkdirSync(join(directory, 'step-9'));
    expect(await checkpoints.latest()).to.equal(undefined);
    await checkpoints.write(factsOf(4), { weights });
    expect(stepsIn(directory)).to.deep.equal(['step-4']);
    expect((await checkpoints.latest())?.state.step).to.equal(4);
  });

  it('has the earlier one of a step until the later one is in its place', async () => {
    const directory = temporaryDirectory();
    const checkpoints = new Checkpoints(directory, 1);
    await checkpoints.write(factsOf(4, 1), { weights });
    // As a process leaves it that was killed between the two.
    renameSync(join(directory, 'step-4'), join(directory, '.step-4.old'));
    cpSync(join(directory, '.step-4.old'), join(directory, '.step-4.tmp'), { recursive: true });
    const found = await checkpoints.latest();
    expect(found).to.include({ logBytes: 1, weights: join(directory, '.step-4.old', 'weights.safetensors') });
    await checkpoints.write(factsOf(4, 2), { weights });
    expect((await checkpoints.latest())?.logBytes).to.equal(2);
    expect(stepsIn(directory)).to.deep.equal(['step-4']);
  });

  it('removes what a killed process left of one that was never finished', async () => {
    const directory = temporaryDirectory();
    const checkpoints = new Checkpoints(directory, 2);
    mkdirSync(join(directory, '.step-3.tmp'));
    writeFileSync(join(directory, 'notes'), 'of somebody else');
    await checkpoints.write(factsOf(2), { weights });
    await checkpoints.write(factsOf(5), { weights });
    await checkpoints.write(factsOf(6), { weights });
    expect(stepsIn(directory)).to.deep.equal(['notes', 'step-5', 'step-6']);
  });
});

describe('writeWeights', () => {
  it('leaves weights as they were that a checkpoint has linked to', async () => {
    const model = await loadModel(writeTinyModel());
    const directory = join(temporaryDirectory(), 'model');
    await saveModel(model, directory, { card: 'Test.' });
    const file = weightsFile(model, directory);
    const checkpoints = new Checkpoints(temporaryDirectory(), 2);
    await checkpoints.write(factsOf(1), { weights, best: { file } });
    const { best } = (await checkpoints.latest())!;
    const [before, other] = [readFileSync(file), join(temporaryDirectory(), 'other')];
    expect(statSync(best!).nlink).to.equal(2);
    writeFileSync(other, 'other weights');
    await writeWeights(model, directory, { weights: other });
    expect(readFileSync(file, 'utf8')).to.equal('other weights');
    expect(readFileSync(best!).equals(before)).to.equal(true);
    model.encoder.dispose();
  });
});

describe('CheckpointSchedule', () => {
  it('is due every so many steps and at each epoch end where a number is given', () => {
    const schedule = new CheckpointSchedule(4, () => 0);
    const due = [0, 1, 2, 3, 4, 5].map((step) => schedule.isDue(step, step === 3));
    expect(due).to.deep.equal([true, false, false, true, true, false]);
  });

  it('is due at epoch ends and every ten minutes else, but takes no more than a tenth of the time', async () => {
    let seconds = 0;
    const schedule = new CheckpointSchedule(undefined, () => seconds * 1000);
    expect(schedule.isDue(1, true)).to.equal(true);
    expect(schedule.isDue(1, false)).to.equal(false);
    seconds = 600;
    expect(schedule.isDue(2, false)).to.equal(true);
    await schedule.keep(async () => {
      seconds += 100;
    });
    seconds += 899;
    expect([schedule.isDue(3, true), schedule.isDue(3, false)]).to.deep.equal([false, false]);
    seconds += 1;
    expect([schedule.isDue(3, true), schedule.isDue(3, false)]).to.deep.equal([true, true]);
  });
});

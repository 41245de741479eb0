import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Session } from '../lib/cli/command.js';
import { explainFailure } from '../lib/cli/failure.js';
import { trainCommand } from '../lib/cli/train.js';
import type { EarlierRun } from '../lib/training/run-start.js';
import { trainListwise } from '../lib/training/train.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';
import { checkpointsIn, newOutput, quick, resultOf, task, trainAndHear, trainUntil } from './training-runs.js';

describe('trainListwise, where another run is in the output,', () => {
  it('tells of checkpoints that are all broken, and starts from the beginning or refuses to', async () => {
    const output = newOutput();
    await trainUntil(7, { ...quick, ...task, output });
    const checkpoints = join(output, 'checkpoints');
    rmSync(join(checkpoints, 'step-6', 'state.json'));
    writeFileSync(join(checkpoints, 'step-4', 'state.json'), '{"format": 1,');
    const { message } = await rejection(trainListwise({ ...quick, ...task, output, resume: 'must' }));
    expect(message).to.contain('holds no whole checkpoint to go on from (step 6: state.json cannot be read); ');
    expect(checkpointsIn(output)).to.deep.equal(['step-4', 'step-6']);
    const { events, steps } = await trainAndHear({ ...quick, ...task, output, maxSteps: 3 });
    const broken = { kind: 'broken' as const };
    expect(events).to.deep.equal([
      { ...broken, step: 6, directory: join(checkpoints, 'step-6'), problem: 'state.json cannot be read' },
      { ...broken, step: 4, directory: join(checkpoints, 'step-4'), problem: 'state.json is cut off or damaged' },
    ]);
    expect(steps).to.deep.equal([1, 2, 3]);
  });

  it('leaves another run as it is unless that is agreed to, and then says what changed', async () => {
    const output = newOutput();
    await trainUntil(7, { ...quick, ...task, output });
    const before = readFileSync(join(output, 'log.jsonl'), 'utf8');
    const lists = task.lists.map((list, i) => (i === 3 ? { ...list, query: 'another' } : list));
    const other = { ...quick, ...task, lists, output, learningRate: 2e-3 };
    const reason = 'learningRate changed from 0.001 to 0.002, the lists changed';
    const error = await rejection(trainListwise(other));
    expect(error.code).to.equal('NOT_CONFIRMED');
    expect(error.message).to.equal(
      `Nothing was done, for ${output} holds another run (stopped after step 6), which is not the one asked for: ` +
        `${reason}. Give its options and inputs to have that one, another output to have both, or resume 'never' to start ` +
        'anew in its place.',
    );
    const asked: EarlierRun[] = [];
    const no = (earlier: EarlierRun) => asked.push(earlier) > 1;
    expect((await rejection(trainListwise({ ...other, onReplace: no }))).code).to.equal('NOT_CONFIRMED');
    expect(asked).to.deep.equal([{ output, state: 'stopped after step 6', reason }]);
    expect(checkpointsIn(output)).to.deep.equal(['step-4', 'step-6']);
    expect(readFileSync(join(output, 'log.jsonl'), 'utf8')).to.equal(before);
    const { events, steps } = await trainAndHear({ ...other, onReplace: async () => true });
    expect(events).to.deep.equal([{ kind: 'anew', reason }]);
    expect(steps[0]).to.equal(1);
  });

  it('leaves a finished run of other options, and a training.json of others, as they are', async () => {
    const output = newOutput();
    await trainListwise({ ...quick, ...task, output, maxSteps: 2 });
    const before = resultOf(output);
    const longer = { ...quick, ...task, output, maxSteps: 3 };
    expect((await rejection(trainListwise(longer))).message).to.contain(
      'holds another run (finished), which is not the one asked for: maxSteps changed from 2 to 3. ',
    );
    expect(resultOf(output)).to.deep.equal(before);
    writeFileSync(join(output, 'training.json'), '{"epochs": 3}');
    expect((await rejection(trainListwise(longer))).message).to.contain(
      'which is not the one asked for: its training.json is not of this version, or of another tool. ',
    );
    expect((await trainAndHear({ ...longer, resume: 'never' })).steps).to.have.length(3);
  });

  it('starts anew where it is told so, and refuses to where it must go on', async () => {
    const output = newOutput();
    const must = { ...quick, ...task, output, resume: 'must' as const };
    expect((await rejection(trainListwise(must))).message).to.equal(
      `resume is 'must', but ${output} holds no checkpoint to go on from; give resume 'never' to start anew.`,
    );
    await trainUntil(7, { ...quick, ...task, output });
    const { message } = await rejection(trainListwise({ ...must, seed: 8 }));
    expect(message).to.equal(
      `resume is 'must', but the run in ${output} is another one: seed changed from 7 to 8; ` +
        "give resume 'never' to start anew, or another output.",
    );
    expect(checkpointsIn(output)).to.deep.equal(['step-4', 'step-6']);
    const { events, steps } = await trainAndHear({ ...quick, ...task, output, resume: 'never' });
    expect([events, steps[0]]).to.deep.equal([[], 1]);
  });

  it('gives the result again of a run that was finished, unless its model is another now', async () => {
    const output = newOutput();
    const first = await trainListwise({ ...quick, ...task, output });
    const second = await trainAndHear({ ...quick, ...task, output });
    expect(second.result).to.deep.equal(first);
    expect(second.steps).to.deep.equal([]);
    expect(second.events).to.deep.equal([{ kind: 'finished', directory: join(output, 'model') }]);
    appendFileSync(join(output, 'model', 'model.safetensors'), 'x');
    const again = { ...quick, ...task, output };
    const { message } = await rejection(trainListwise(again));
    expect(message).to.contain(
      'holds another run (finished), which is not the one asked for: the weights in model/ were',
    );
    expect((await trainAndHear({ ...again, onReplace: () => true })).steps).to.have.length(16);
    // Of a model that was removed nothing is left to lose.
    rmSync(join(output, 'model'), { recursive: true });
    expect((await trainAndHear(again)).steps).to.have.length(16);
  });
});

describe('listwise train, where another run is in --output,', () => {
  const directory = temporaryDirectory();
  const lists = join(directory, 'lists.jsonl');
  const named = ({ id, score }: { id: string; score: number }) => ({ id, score, text: task.corpus.get(id)! });

  before(() => {
    const written = task.lists.map((list) => JSON.stringify({ ...list, passages: list.passages.map(named) }));
    writeFileSync(lists, `${written.join('\n')}\n`);
  });

  /** Runs the command with somebody at the terminal who gives this answer, or nobody. */
  const command = async (options: object, answer?: boolean) => {
    const [said, asked] = [[] as string[], [] as string[]];
    const session: Session = {
      ...{ signal: new AbortController().signal, onProgress: () => {}, detail: () => {} },
      say: (line) => said.push(line),
      ask: async (question) => {
        asked.push(question);
        return answer;
      },
    };
    const run = trainCommand.run({ model: quick.model, lists: [lists], batchSize: 10, ...options }, session, []);
    const outcome = await run.catch((error: unknown) => explainFailure(error, trainCommand));
    return { outcome, said, asked };
  };

  it('asks, refuses where nobody can answer, and takes --yes for an answer', async () => {
    const output = newOutput();
    await command({ output, maxSteps: 2 });
    const before = readFileSync(join(output, 'training.json'), 'utf8');
    const held = `${output} holds another run (finished), which is not the one asked for: maxSteps changed from 2 to 3`;
    const nobody = await command({ output, maxSteps: 3 });
    expect(nobody.outcome).to.deep.equal({
      ...{ code: 'NOT_CONFIRMED', exitCode: 4 },
      message: `${held}. Nothing was done. Add --yes to start anew in its place, or give its options, or another --output.`,
    });
    const no = await command({ output, maxSteps: 3 }, false);
    expect(no.asked).to.deep.equal([`${held}\nThat run is lost if this one begins. Go on?`]);
    expect(no.outcome).to.include({ code: 'NOT_CONFIRMED', exitCode: 4 });
    expect(readFileSync(join(output, 'training.json'), 'utf8')).to.equal(before);
    const yes = await command({ output, maxSteps: 3, yes: true });
    expect(yes.asked).to.deep.equal([]);
    expect(yes.said[0]).to.equal('training: starts anew in the place of another run: maxSteps changed from 2 to 3');
    expect(yes.outcome).to.have.nested.property('json.steps', 3);
  });

  it('says which checkpoint cannot be used, and after which step it goes on', async () => {
    const output = newOutput();
    await trainUntil(7, { ...quick, lists, output });
    writeFileSync(join(output, 'checkpoints', 'step-6', 'optimizer.safetensors'), 'x');
    const { said } = await command({ ...quick, output });
    expect(said[0]).to.match(
      /^training: the checkpoint of step 6 cannot be used \(\S+step-6: optimizer\.safetensors has 1 bytes and not \d+\); goes on after step 4 instead$/,
    );
    expect(said[1]).to.equal('training: goes on after step 4');
  });
});

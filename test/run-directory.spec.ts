import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { removeLeftovers } from '../lib/formats/leftovers.js';
import { makeDirectory } from '../lib/formats/writing.js';
import { tryLock } from '../lib/setup/lock.js';
import type { Invalidation } from '../lib/specialize/invalidation.js';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { specialize } from '../lib/specialize/specialize.js';
import { type RunStatus, runStatus } from '../lib/specialize/status.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { tinyRun, writeCollection } from './tiny-run.js';

/** The number of a process that is no more. */
async function deadProcess(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(child, 'exit');
  return child.pid!;
}

describe('a run directory', function () {
  this.timeout(60_000);
  let collection: string;
  let model: string;

  before(() => {
    collection = writeCollection();
    model = writeTinyModel();
  });

  const options = (more: Partial<SpecializeOptions> = {}) => tinyRun({ collection, model, ...more });
  const manifest = ({ output }: SpecializeOptions) => readFileSync(join(output, 'manifest.json'), 'utf8');

  it('is for one process at a time, and says which', async () => {
    const given = options({ until: 'corpus' });
    mkdirSync(given.output);
    const lock = tryLock(join(given.output, 'run.lock'));
    const error = await rejection(specialize(given));
    expect(error.code).to.equal('BUSY');
    expect(error.message).to.equal(
      `Expected a directory that no other run writes to, but ${given.output} is in use by process ${process.pid} on ` +
        `${/ on (\S+) since/.exec(error.message)![1]} since ${/since (\S+);/.exec(error.message)![1]}; wait for it or ` +
        `stop it, or give another output. \`listwise status ${given.output}\` says where it is.`,
    );
    if ('release' in lock) lock.release();
    await specialize(given);
    expect(readdirSync(given.output)).to.not.include('run.lock');
    expect((await specialize(given)).stages.corpus).to.include({ reused: true });
  });

  it('is free again when the process that had it was killed', async () => {
    const given = options({ until: 'corpus' });
    mkdirSync(given.output);
    const dead = await deadProcess();
    tryLock(join(given.output, 'run.lock'));
    const lock = JSON.parse(readFileSync(join(given.output, 'run.lock'), 'utf8'));
    writeFileSync(join(given.output, 'run.lock'), JSON.stringify({ ...lock, pid: dead }));
    expect((await specialize(given)).stages.corpus).to.include({ reused: false });
  });

  it('asks before work is lost, naming what and why, and loses nothing where the answer is no', async () => {
    const given = options({ until: 'queries' });
    await specialize(given);
    const before = manifest(given);
    let asked: Invalidation[] = [];
    const no = (lost: Invalidation[]) => {
      asked = lost;
      return false;
    };
    const error = await rejection(specialize({ ...given, minCharacters: 5, onInvalidate: no }));
    expect(asked).to.deep.equal([{ stage: 'corpus', reason: 'minCharacters changed from 3 to 5', later: ['queries'] }]);
    expect(error.code).to.equal('NOT_CONFIRMED');
    expect(error.message).to.contain('corpus is done again, and after it queries: minCharacters changed from 3 to 5.');
    expect(manifest(given)).to.equal(before);
    asked = [];
    await specialize({ ...given, onInvalidate: no });
    // A default that is named is no change.
    await specialize({ ...given, duplicateWindow: 9, onInvalidate: no });
    expect(asked).to.deep.equal([]);
    await specialize({ ...given, minCharacters: 5, onInvalidate: async () => true });
    expect(manifest(given)).to.not.equal(before);
  });

  it('asks before a half-trained model is lost, and says how many steps', async () => {
    const given = options({ until: 'training', checkpointEvery: 1 });
    const controller = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 2 && controller.abort(new Error('enough'));
    const stopped = await rejection(specialize({ ...given, onStep, signal: controller.signal }));
    expect(stopped.message).to.equal('enough');
    let asked: Invalidation[] = [];
    const no = (lost: Invalidation[]) => {
      asked = lost;
      return false;
    };
    const changed = await rejection(specialize({ ...given, learningRate: 2e-3, onInvalidate: no }));
    const { state } = asked[0]!.begun![0]!;
    expect(state).to.match(/^done [12] steps?$/);
    const reason = 'learningRate changed from 0.001 to 0.002';
    expect(asked).to.deep.equal([{ stage: 'training', reason, later: [], begun: [{ stage: 'training', state }] }]);
    expect(changed.message).to.contain(`training is done again: ${reason} (training had ${state}). Give`);
    // Also where it is lost with what it builds on.
    expect((await rejection(specialize({ ...given, listLength: 6, onInvalidate: no }))).message).to.contain(
      `lists is done again, and after it training: listLength changed from 5 to 6 (training had ${state}). Give`,
    );
    const told: string[] = [];
    const { stages } = await specialize({ ...given, onInvalidate: no, onEvent: ({ kind }) => told.push(kind) });
    expect(told).to.include('resumed');
    expect(stages.training!.reused).to.equal(false);
  });

  it('does not lose a file that somebody changed without asking', async () => {
    const given = options({ until: 'queries' });
    await specialize(given);
    writeFileSync(join(given.output, 'queries.jsonl'), '{"mine": 1}\n');
    const error = await rejection(specialize({ ...given, onInvalidate: () => false }));
    expect(error.message).to.contain('queries is done again: queries.jsonl was changed');
    expect(readFileSync(join(given.output, 'queries.jsonl'), 'utf8')).to.equal('{"mine": 1}\n');
  });

  it('notices inputs that change or go while the run is under way', async () => {
    const written = join(temporaryDirectory(), 'written.jsonl');
    writeFileSync(written, readFileSync(join(collection, 'written.jsonl')));
    const given = options({ queries: written, until: 'queries' });
    const change = (act: () => void) => ({
      ...given,
      output: join(temporaryDirectory(), 'run'),
      onStage: ({ stage, status }: { stage: string; status: string }) => {
        if (stage === 'queries' && status === 'started') act();
      },
    });
    const changed = change(() => writeFileSync(written, `${readFileSync(written, 'utf8')}\n`));
    const error = await rejection(specialize(changed));
    expect(error.code).to.equal('BAD_DATA');
    expect(error.message).to.equal(
      `${written}: The queries changed after the run had started and before stage queries was done with it; ` +
        'start the run again to use what is there now.',
    );
    expect((await specialize({ ...changed, onStage: () => {} })).stages.queries).to.include({ reused: false });
    const gone = await rejection(specialize(change(() => rmSync(written))));
    expect(gone.code).to.equal('NOT_FOUND');
    expect(gone.message).to.contain(written).and.contain('there is no such file');
  });

  it('is cleared of what killed processes left half-written, at the start', async () => {
    const given = options({ until: 'corpus' });
    mkdirSync(join(given.output, 'training', '.model.1.tmp'), { recursive: true });
    const dead = await deadProcess();
    const left = [`corpus.json.${dead}-3.tmp`, `training/.model.${dead}.tmp/model.safetensors`];
    mkdirSync(join(given.output, 'training', `.model.${dead}.tmp`));
    for (const file of [...left, 'notes.tmp', 'training/a.1.tmp']) writeFileSync(join(given.output, file), '');
    await specialize(given);
    for (const file of left) expect(existsSync(join(given.output, file)), file).to.equal(false);
    expect(existsSync(join(given.output, 'notes.tmp'))).to.equal(true);
    // Process 1 is alive.
    expect(existsSync(join(given.output, 'training', 'a.1.tmp'))).to.equal(true);
  });
});

describe('removeLeftovers', () => {
  it('takes a file under its own number for an older process only by its age', async () => {
    const home = temporaryDirectory();
    const [old, fresh] = [join(home, `a.${process.pid}-1.tmp`), join(home, `b.${process.pid}-2.tmp`)];
    for (const file of [old, fresh]) writeFileSync(file, '');
    utimesSync(old, new Date(0), new Date(0));
    expect(await removeLeftovers(home)).to.deep.equal([old]);
    expect(await removeLeftovers(join(home, 'nowhere'))).to.deep.equal([]);
  });
});

describe('runStatus', function () {
  this.timeout(60_000);

  it('follows a run from its start to its end', async () => {
    const given = tinyRun({ collection: writeCollection(), model: writeTinyModel(), until: 'embeddings' });
    const seen: RunStatus[] = [];
    let isOver = false;
    const follow = async () => {
      while (!isOver) {
        const status = await runStatus(given.output).catch(() => undefined);
        if (status) seen.push(status);
      }
    };
    await Promise.all([follow(), specialize(given).finally(() => (isOver = true))]);
    const running = seen.filter(({ state }) => state === 'running');
    expect(running[0]).to.have.nested.property('holder.pid', process.pid);
    expect(running[0]!.stages.every(({ state }) => state === 'to do')).to.equal(true);
    const embedding = running.filter(({ stages }) => stages.some(({ state }) => state === 'running'));
    expect(embedding.at(-1)!.stages.find(({ state }) => state === 'running')).to.include({ stage: 'embeddings' });
    expect(embedding.at(-1)!.progress).to.include({ stage: 'encoding', unit: 'passages', total: 60 });
    const after = await runStatus(given.output);
    expect(after.state).to.equal('stopped');
    expect(after.stages.find(({ stage }) => stage === 'embeddings')).to.deep.include({ state: 'done' });
    expect(after.stages.find(({ stage }) => stage === 'training')).to.deep.equal({ stage: 'training', state: 'to do' });
    expect(existsSync(join(given.output, 'run.progress.json'))).to.equal(false);
  });

  it('says why a run failed, and how far a killed one was', async () => {
    const given = tinyRun({ collection: writeCollection(), model: writeTinyModel(), until: 'candidates' });
    await rejection(specialize({ ...given, minCandidates: 31 }));
    const failed = await runStatus(given.output);
    expect(failed).to.include({ state: 'failed' }).and.to.have.property('error').that.contains('No query is left');
    expect(failed.stages.find(({ stage }) => stage === 'candidates')).to.include({ state: 'begun' });
    const { error: _, ...noted } = JSON.parse(readFileSync(join(given.output, 'run.progress.json'), 'utf8'));
    writeFileSync(join(given.output, 'run.progress.json'), JSON.stringify(noted));
    expect(await runStatus(given.output)).to.include({ state: 'killed' });
  });

  it('refuses a directory that is no run', async () => {
    const home = temporaryDirectory();
    const error = await rejection(runStatus(home));
    expect(error.message).to.equal(`Expected a run directory at ${home} but it has no manifest.json; check the path.`);
  });
});

describe('makeDirectory', () => {
  it('makes directories on the way, where others may make them too', async () => {
    const home = temporaryDirectory();
    await Promise.all(Array.from({ length: 8 }, () => makeDirectory(join(home, 'a', 'b', 'c'))));
    expect(readdirSync(join(home, 'a', 'b'))).to.deep.equal(['c']);
  });

  it('returns from places where nothing can be made', async function () {
    if (!existsSync('/proc/self')) this.skip();
    for (const place of ['/proc/nothing/here', '/proc/self/nothing/here', '/dev/null/here']) {
      const error = await rejection(makeDirectory(place));
      expect(error.code, place).to.equal('NOT_WRITABLE');
      expect(error.message).to.contain(`Cannot write ${place}: `);
    }
  });
});

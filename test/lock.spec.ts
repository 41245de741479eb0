import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { removeLeftovers } from '../lib/formats/leftovers.js';
import { holderOf, tryLock, withLock } from '../lib/setup/lock.js';
import { isRunning, isTaken, thisProcess } from '../lib/setup/processes.js';
import { temporaryDirectory } from './helpers.js';

const takeLock = join(import.meta.dirname, 'programs', 'take-lock.js');

/** A process that takes the lock at a time, and what it says of that. */
async function taker(file: string, at = 0) {
  const child = spawn(process.execPath, [takeLock, file, String(at)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [text] = await once(child.stdout, 'data');
  return { child, said: String(text).trim() };
}

/** Looks again and again, until mocha's own limit. */
async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function kill({ child }: Awaited<ReturnType<typeof taker>>): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('tryLock', () => {
  let home: string;
  let file: string;

  beforeEach(() => {
    home = temporaryDirectory();
    file = join(home, 'run.lock');
  });

  const taken = () => {
    const lock = tryLock(file);
    return 'release' in lock ? lock : undefined;
  };
  const holder = (change: object) =>
    writeFileSync(file, JSON.stringify({ ...thisProcess(), id: 'x', since: '', ...change }));

  it('is refused while another process holds it, and names that process; it is free when released', async () => {
    const other = await taker(file);
    expect(other.said).to.equal('taken');
    expect(tryLock(file)).to.have.nested.property('holder.pid', other.child.pid);
    await kill(other);
    const own = taken();
    expect(tryLock(file)).to.have.nested.property('holder.pid', process.pid);
    own!.release();
    expect(readdirSync(home)).to.deep.equal([]);
  });

  it('leaves what removeLeftovers takes away, where the process is killed while it takes the lock', async () => {
    const code =
      'import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";' +
      'fs.linkSync = () => process.kill(process.pid, "SIGKILL"); syncBuiltinESMExports();' +
      'const [module, file] = process.argv.slice(1); (await import(module)).tryLock(file);';
    const module = new URL('../lib/setup/lock.js', import.meta.url).href;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code, module, file]);
    expect(await once(child, 'exit')).to.deep.equal([null, 'SIGKILL']);
    expect(readdirSync(home)).to.have.length(1);
    expect(await removeLeftovers(home)).to.have.length(1);
    expect(readdirSync(home)).to.deep.equal([]);
  });

  it('takes over from a process that was killed, of all that try at once exactly one', async () => {
    await kill(await taker(file));
    expect(existsSync(file)).to.equal(true);
    const at = Date.now() + 600;
    const takers = await Promise.all(Array.from({ length: 6 }, () => taker(file, at)));
    const winners = takers.filter(({ said }) => said === 'taken');
    expect(winners, takers.map(({ said }) => said).join(', ')).to.have.length(1);
    expect(holderOf(file)!.pid).to.equal(winners[0]!.child.pid);
    await Promise.all(takers.map(kill));
  });

  it('takes over from a process whose number another one has by now, as in a container that was started again', () => {
    holder({ began: 'another boot 1' });
    const lock = taken();
    expect(lock).to.not.equal(undefined);
    lock!.release();
  });

  it('takes over from another machine only when it has not touched the lock for two minutes', () => {
    holder({ host: `not-${hostname()}` });
    expect(tryLock(file)).to.have.nested.property('holder.host', `not-${hostname()}`);
    const before = new Date(Date.now() - 121_000);
    utimesSync(file, before, before);
    expect(taken()).to.not.equal(undefined);
    expect(holderOf(file)!.host).to.equal(hostname());
  });

  it('leaves a lock alone that another took over', () => {
    const lock = taken()!;
    holder({ id: 'another' });
    lock.release();
    expect(JSON.parse(readFileSync(file, 'utf8')).id).to.equal('another');
  });

  it('says what the file system refuses', () => {
    mkdirSync(join(home, 'closed'));
    writeFileSync(join(home, 'closed', 'file'), '');
    expect(() => tryLock(join(home, 'closed', 'file', 'run.lock'))).to.throw(/ENOTDIR|EEXIST/);
  });
});

describe('withLock', () => {
  it('lets one work at a time, and tells who waits', async () => {
    const file = join(temporaryDirectory(), 'lock');
    const events: string[] = [];
    const work = (name: string) => async () => {
      events.push(`${name} starts`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      events.push(`${name} ends`);
    };
    const onWait = () => events.push('waiting');
    await Promise.all([withLock(file, work('first'), { onWait }), withLock(file, work('second'), { onWait })]);
    expect(events).to.deep.equal(['first starts', 'waiting', 'first ends', 'second starts', 'second ends']);
    expect(existsSync(file)).to.equal(false);
  });

  it('gives the lock back after a failure', async () => {
    const home = temporaryDirectory();
    const failure = await withLock(join(home, 'lock'), async () => Promise.reject(new Error('no'))).catch(
      (error) => error.message,
    );
    expect(failure).to.equal('no');
    expect(readdirSync(home)).to.deep.equal([]);
  });
});

describe('isRunning', () => {
  it('is false of a process that was killed and whose parent takes no note of it', async function () {
    if (process.platform !== 'linux') this.skip();
    const parent = spawn('bash', ['-c', 'sleep 60 & echo $!; exec sleep 60']);
    try {
      const pid = Number(await once(parent.stdout, 'data'));
      expect(isTaken(pid)).to.equal(true);
      await waitFor(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8') === 'sleep\n');
      process.kill(pid, 'SIGKILL');
      await waitFor(() => / Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1')));
      expect(isTaken(pid)).to.equal(false);
      expect(isRunning({ pid, host: hostname(), began: '' })).to.equal(false);
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('knows a process from one that had its number before', () => {
    expect(isRunning(thisProcess())).to.equal(true);
    expect(isRunning({ ...thisProcess(), began: 'x' })).to.equal(false);
    expect(isRunning({ ...thisProcess(), began: '' })).to.equal(true);
    expect(isRunning({ ...thisProcess(), host: 'elsewhere' })).to.equal(undefined);
  });
});

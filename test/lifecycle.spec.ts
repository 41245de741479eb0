import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { realModel, temporaryDirectory } from './helpers.js';

const program = fileURLToPath(new URL('programs/busy.ts', import.meta.url));

interface Ending {
  code: number | null;
  signal: string | null;
  output: string;
  errors: string;
  /** From the program's first word to its end, in seconds. */
  seconds: number;
}

function run(...args: string[]): Promise<Ending> {
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ending = { output: '', errors: '' };
  let spoke = Number.NaN;
  child.stdout.on('data', (data) => {
    spoke ||= performance.now();
    ending.output += data;
  });
  child.stderr.on('data', (data) => {
    ending.errors += data;
  });
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      resolve({ ...ending, code, signal, seconds: (performance.now() - spoke) / 1000 });
    });
  });
}

describe('a process in the midst of native work', () => {
  it('exits when process.exit says so, while it encodes', async () => {
    const ending = await run('exit', realModel);
    expect(ending).to.include({ code: 3, signal: null, output: 'exiting\n', errors: '' });
    expect(ending.seconds).to.be.below(5);
  });

  it('exits when process.exit says so, while it trains', async () => {
    const ending = await run('exit while training', realModel, join(temporaryDirectory(), 'run'));
    expect(ending).to.include({ code: 3, signal: null, output: 'exiting\n', errors: '' });
    expect(ending.seconds).to.be.below(5);
  });

  it('survives the end of a worker that was busy, and can use the addon after', async () => {
    const ending = await run('terminate', realModel);
    expect(ending).to.include({ code: 0, signal: null, output: 'terminated\n', errors: '' });
  });

  it('ends with the error when one is thrown and not caught', async () => {
    const ending = await run('throw', realModel);
    expect(ending).to.include({ code: 1, signal: null });
    expect(ending.errors).to.include('Error: thrown on purpose');
  });

  it('ends by itself once aborted work was all there was', async () => {
    const ending = await run('abort', realModel);
    expect(ending).to.include({ code: 0, signal: null, output: 'rejected: enough\n', errors: '' });
    expect(ending.seconds).to.be.below(5);
  });
});

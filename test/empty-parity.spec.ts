import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { temporaryDirectory } from './helpers.js';
import { requireCases } from './parity/directory.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const fixtures = join(root, 'test', 'fixtures', 'parity');

describe('the directory that PARITY names', () => {
  it('is refused where it is not there, or has nothing to compare with', () => {
    const nowhere = join(temporaryDirectory(), 'nowhere');
    expect(() => requireCases(nowhere)).to.throw(`PARITY names ${nowhere}, which is not there.`);
    const wrong = temporaryDirectory();
    const expected = `PARITY names ${wrong}, which has nothing to compare with: expected losses.json, metrics.json, `;
    expect(() => requireCases(wrong)).to.throw(expected);
    mkdirSync(join(wrong, 'models', 'half'), { recursive: true });
    cpSync(join(fixtures, 'models', 'bert', 'config.json'), join(wrong, 'models', 'half', 'config.json'));
    expect(() => requireCases(wrong)).to.throw(expected);
  });

  it('may have one kind of case alone', () => {
    for (const part of ['metrics.json', 'losses.json', 'models']) {
      const some = temporaryDirectory();
      cpSync(join(fixtures, part), join(some, part), { recursive: true });
      requireCases(some);
    }
  });

  it('lets the parity tests fail if it is empty', function () {
    this.timeout(60_000);
    const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js');
    const empty = temporaryDirectory();
    const options = { cwd: root, env: { ...process.env, PARITY: empty }, encoding: 'utf8' } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, [mocha, 'test/parity/metrics.spec.ts'], options);
    expect(status).to.be.above(0);
    expect(stdout + stderr).to.contain(`PARITY names ${empty}, which has nothing to compare with`);
  });
});

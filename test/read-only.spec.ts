import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../lib/setup/paths.js';
import { specialize } from '../lib/specialize/specialize.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { filesOf, runInProcess } from './killed-run.js';
import { tinyRun, writeCollection } from './tiny-run.js';

/** A shell that runs what follows it with a directory that nobody may write to: root passes over permissions. */
const readOnly = (directory: string) =>
  `exec unshare ${process.getuid?.() === 0 ? '--mount' : '--mount --map-root-user'} sh -c ` +
  `'mount --bind ${directory} ${directory} && mount -o remount,bind,ro ${directory} && exec "$0" "$@"' "$0" "$@"`;

describe('a run directory that cannot be written', function () {
  this.timeout(60_000);
  let collection: string;
  let model: string;

  before(function () {
    const place = temporaryDirectory();
    const { status, stderr } = spawnSync('bash', ['-c', readOnly(place), 'test', '-d', place], { encoding: 'utf8' });
    if (status !== 0) {
      console.log(`      skipped: no directory can be mounted read-only here (${(stderr ?? 'no bash').trim()})`);
      this.skip();
    }
    collection = writeCollection();
    model = writeTinyModel();
  });

  const failureOf = (lines: string[]) => {
    const [, failure] = /^failed (.*)$/.exec(lines.at(-1)!) ?? expect.fail(lines.slice(-12).join('\n'));
    return JSON.parse(failure!) as { code: string; message: string };
  };

  it('is refused before any work, where it would have to be made', async () => {
    const given = tinyRun({ collection, model, until: 'corpus' });
    const parent = join(given.output, '..');
    const { lines } = await runInProcess(given, {}, readOnly(parent));
    expect(lines).to.have.length(1);
    expect(failureOf(lines)).to.deep.equal({
      code: 'NOT_WRITABLE',
      message: `Cannot write ${given.output}: the file system is read-only; give a path on another.`,
    });
    expect(readdirSync(parent)).to.deep.equal([]);
  });

  it('stays as it was where it holds a run, whose state can still be read', async () => {
    const given = tinyRun({ collection, model, until: 'corpus' });
    await specialize(given);
    const before = filesOf(given.output);
    const { lines } = await runInProcess({ ...given, until: 'embeddings' }, {}, readOnly(given.output));
    expect(failureOf(lines)).to.deep.equal({
      code: 'NOT_WRITABLE',
      message: `Cannot write ${join(given.output, 'run.lock')}: the file system is read-only; give a path on another.`,
    });
    expect(filesOf(given.output)).to.deep.equal(before);
    const command = ['--import=tsx', join(root, 'lib', 'cli', 'main.ts'), 'status', given.output];
    const status = spawnSync('bash', ['-c', readOnly(given.output), process.execPath, ...command], {
      encoding: 'utf8',
      cwd: root,
    });
    expect(status.stdout, status.stderr).to.match(/^corpus +done/m);
  });
});

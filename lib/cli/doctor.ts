import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { getHFHubCachePath } from '@huggingface/hub';
import { ListwiseError, NotFoundError } from '../errors.js';
import type { TeacherReport } from '../lists/teacher-report.js';
import { formatTeacherReport } from '../lists/teacher-table.js';
import { hubEndpoint, isHubOffline } from '../models/hub.js';
import { native } from '../native.js';
import { compiledAddon, prebuiltFor } from '../setup/addon.js';
import { missingTools, toolVersion } from '../setup/build.js';
import { SetupError } from '../setup/errors.js';
import { compareVersions, describeLibtorch, findLibtorch, type Libtorch, OWN_LIBTORCH } from '../setup/libtorch.js';
import { smallModelDirectory } from '../setup/model.js';
import { findNvcc, NVCC_FIX } from '../setup/nvcc.js';
import { cacheDirectory } from '../setup/paths.js';
import { pythonProgram, pythonVersion } from '../setup/python.js';
import { RunDirectory } from '../specialize/run-directory.js';
import type { CommandSpec, Outcome } from './command.js';

/** One thing that was looked at. `fix` is there where it is not as it must be. */
interface Finding {
  name: string;
  found: string;
  /** 'note' is for what listwise can do without. */
  state: 'ok' | 'note' | 'problem';
  fix?: string;
}

export const doctorCommand: CommandSpec = {
  name: 'doctor',
  summary: 'say what was found on this machine, what is wrong, and how to mend it',
  description:
    'Looks at Node, the compiler, cmake, Python, libtorch, the addon, CUDA, threads, memory, caches and the Hub. ' +
    'Changes nothing and asks no network. Exit code 1 if something that listwise needs is wrong.\n\n' +
    '--run looks at a run directory of `specialize` instead: what became of the queries of each type, what the scores ' +
    'of the teacher are like, and what makes them a poor teacher; exit code 1 if something does.',
  options: [{ name: 'run', kind: 'text', value: 'directory', help: 'look at the teacher of this run instead' }],
  examples: [
    { line: 'doctor', purpose: 'when something does not work' },
    { line: 'doctor --run runs/mine', purpose: 'before a long training, after specialize --until lists' },
    { line: 'doctor --json > doctor.json', purpose: 'to send along with a question' },
  ],
  async run({ run }) {
    if (typeof run === 'string') return teacherOf(run);
    const findings = examine();
    const problems = findings.filter(({ state }) => state === 'problem').length;
    const closing = problems
      ? `${problems} problem${problems > 1 ? 's' : ''}.`
      : 'Everything that listwise needs is there.';
    return {
      json: { ok: problems === 0, findings },
      text: [...findings.flatMap(describeFinding), '', closing].join('\n'),
      exitCode: problems ? 1 : 0,
    };
  },
};

async function teacherOf(run: string): Promise<Outcome> {
  const file = new RunDirectory(run).file('teacherDoctor');
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const problem = `Expected the run directory of a specialize that has made its lists at ${run} but found no ${file}`;
    throw new NotFoundError(`${problem}; run specialize with --until lists first.`, { cause });
  });
  const report = JSON.parse(text) as TeacherReport;
  return { json: report, text: formatTeacherReport(report), exitCode: report.warnings.length > 0 ? 1 : 0 };
}

function examine(): Finding[] {
  const { libtorch, finding } = examineLibtorch();
  return [node(), ...tools(libtorch), python(libtorch), finding, ...addon(libtorch), machine(), ...caches()];
}

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isOld = major < 20 || (major === 20 && minor < 19);
  return {
    name: 'Node',
    found: `${process.versions.node} (${process.platform} ${process.arch})`,
    ...(isOld ? { state: 'problem', fix: 'listwise needs Node 20.19 or newer' } : { state: 'ok' }),
  };
}

/** Needed to compile only, so not needed where an addon is there. */
function tools(libtorch: Libtorch | null): Finding[] {
  const isReady = compiledAddon() !== null || (libtorch !== null && prebuiltFor(libtorch) !== null);
  const missing = missingTools();
  const finding = (name: string, programs: string[], what: string): Finding => {
    const version = toolVersion(programs);
    if (version && !missing.includes(what)) return { name, found: version, state: 'ok' };
    const fix = `\`apt install g++ make cmake\`, or what your system calls them${isReady ? ', to compile again' : ''}`;
    return { name, found: 'not found', state: isReady ? 'note' : 'problem', fix };
  };
  const compilers = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  return [finding('C++ compiler', compilers, 'a C++ compiler'), finding('cmake', ['cmake'], 'cmake')];
}

/** Needed to fetch a libtorch only. */
function python(libtorch: Libtorch | null): Finding {
  const found = pythonVersion();
  if (found) return { name: 'Python', found: `${found.version} (${found.executable})`, state: 'ok' };
  return {
    name: 'Python',
    found: `${pythonProgram()} cannot be run`,
    state: libtorch ? 'note' : 'problem',
    fix: 'install Python 3.10 or newer with pip, or let PYTHON name one; it is what fetches libtorch',
  };
}

function examineLibtorch(): { libtorch: Libtorch | null; finding: Finding } {
  try {
    const { libtorch, skipped } = findLibtorch();
    if (libtorch) {
      const isNewer = compareVersions(libtorch.version, OWN_LIBTORCH) > 0;
      const state = isNewer ? 'note' : 'ok';
      const fix = `newer than ${OWN_LIBTORCH}, with which listwise was tested; if it gives trouble, set LIBTORCH`;
      return {
        libtorch,
        finding: { name: 'libtorch', found: describeLibtorch(libtorch), state, ...(isNewer && { fix }) },
      };
    }
    const fix = 'run `npx listwise setup`, which fetches one, or set LIBTORCH to an unpacked libtorch';
    return { libtorch, finding: { name: 'libtorch', found: `none: ${skipped.join('; ')}`, state: 'problem', fix } };
  } catch (error) {
    return { libtorch: null, finding: problem('libtorch', error) };
  }
}

/** Loads the addon: what it says of itself is what will be used. */
function addon(libtorch: Libtorch | null): Finding[] {
  try {
    const { torch, cuda, threads, kernels, cudaKernels, devices } = native().environment();
    const compiled = compiledAddon();
    const where = compiled ? `compiled here: ${compiled.file}` : `prebuilt: ${libtorch && prebuiltFor(libtorch)}`;
    const device = cuda
      ? `available, compute capability ${devices.join(', ')}`
      : libtorch?.cuda
        ? 'none found, though libtorch is a CUDA build'
        : 'none (CPU build)';
    return [
      { name: 'addon', found: `loads, with libtorch ${torch} (${where})`, state: 'ok' },
      { name: 'CUDA', found: device, state: 'ok' },
      ...(libtorch?.cuda ? [cudaKernelsOf(libtorch, cudaKernels)] : []),
      {
        name: 'threads',
        found: `${threads} of ${availableParallelism()} processors, kernels: ${kernels}`,
        state: 'ok',
      },
    ];
  } catch (error) {
    return [problem('addon', error)];
  }
}

/** What was compiled counts; the nvcc that is there now says why nothing was, or that something can be. */
export function cudaKernelsOf(libtorch: Pick<Libtorch, 'cuda'>, areCompiled: boolean, env = process.env): Finding {
  const name = 'CUDA kernels';
  if (areCompiled) return { name, found: 'compiled', state: 'ok' };
  const { nvcc, problem } = findNvcc(libtorch, env);
  const reason = problem ?? `${nvcc?.program} (CUDA ${nvcc?.version}) was not there or did not work then`;
  return { name, found: `not compiled: ${reason}`, state: 'note', fix: NVCC_FIX };
}

function problem(name: string, error: unknown): Finding {
  const setup = error instanceof ListwiseError ? error.cause : error;
  const fixes = setup instanceof SetupError ? setup.fixes : ['run `npx listwise setup`'];
  const [found = ''] = (error as Error).message.split('\n');
  return { name, found, state: 'problem', fix: fixes.join('; ') };
}

function machine(): Finding {
  const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return { name: 'memory', found: `${gigabytes(freemem())} free of ${gigabytes(totalmem())}`, state: 'ok' };
}

function caches(): Finding[] {
  const model = smallModelDirectory();
  const isThere = existsSync(join(model, 'model.safetensors'));
  const hub = `${getHFHubCachePath()} (${isHubOffline() ? 'offline: HF_HUB_OFFLINE is set' : hubEndpoint()})`;
  return [
    { name: 'cache', found: cacheDirectory(), state: 'ok' },
    { name: 'Hub cache', found: hub, state: 'ok' },
    isThere
      ? { name: 'small model', found: model, state: 'ok' }
      : {
          name: 'small model',
          found: 'not fetched',
          state: 'note',
          fix: '`npx listwise setup --small-model` brings it',
        },
  ];
}

const MARKS = { ok: 'ok  ', note: 'note', problem: 'BAD ' };

function describeFinding({ name, found, state, fix }: Finding): string[] {
  return [`${MARKS[state]}  ${name.padEnd(12)}  ${found}`, ...(fix ? [`${' '.repeat(20)}-> ${fix}`] : [])];
}

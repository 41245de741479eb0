import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { libraries } from '../lib/setup/libtorch.js';
import { temporaryDirectory } from './helpers.js';

/** The directory of the test that runs, where `useHome` was called for its group. */
export let home: string;

/** Every test has a directory of its own. */
export function useHome(): void {
  beforeEach(() => {
    home = temporaryDirectory();
  });
}

/** Writes a file of the test's directory. */
export function write(path: string, content = ''): string {
  const file = join(home, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

/** A directory with the files by which a libtorch is known, and nothing in them. */
export function fakeTorch(path: string, { version = '2.9.1', extra = {} as Record<string, string> } = {}): string {
  const files = ['include/ATen/ATen.h', 'include/torch/csrc/api/include/torch/torch.h', ...libraries()];
  for (const file of files) write(join(path, file));
  write(join(path, 'version.py'), `__version__ = '${version}'\ncuda: Optional[str] = None\n`);
  for (const [file, content] of Object.entries(extra)) write(join(path, file), content);
  return join(home, path);
}

/**
 * A Python that claims that its torch lies in `directory`; for anything else it is the real one.
 * @param onPip what it does as a shell for `pip download`, and `onInstall` for `pip install`; it fails by default
 */
export function fakePython(directory: string | null, { onPip = '', onInstall = '' } = {}): string {
  const file = write(
    `python-${Math.random()}`,
    `#!/bin/sh\ncase "$*" in\n*find_spec*) echo '${directory ? join(directory, '__init__.py') : ''}' ;;\n` +
      `*"pip download"*) ${onPip || 'exit 1'} ;;\n*"pip install"*) ${onInstall || 'exit 1'} ;;\n` +
      `*"pip --version"*) exit 0 ;;\n*) exec python3 "$@" ;;\nesac\n`,
  );
  spawnSync('chmod', ['+x', file]);
  return file;
}

/** Runs Node in a directory. */
export function runNode(directory: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const result = spawnSync(process.execPath, args, {
    cwd: directory,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

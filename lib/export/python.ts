import { spawn } from 'node:child_process';
import { ListwiseError } from '../errors.js';

export interface PythonOptions {
  /** The program; the variable PYTHON, else python3, by default. */
  python?: string | undefined;
  signal?: AbortSignal | undefined;
}

const PACKAGES = 'torch transformers onnx onnxruntime';

/**
 * Runs a Python program on a request in JSON, which it reads from standard input.
 * @throws ListwiseError SETUP if Python or a package of the export is missing, naming what to install; INTERNAL with the
 *   program's last words if it fails; `signal.reason` when aborted
 */
export async function runPython(program: string, request: object, options: PythonOptions = {}): Promise<void> {
  const { python = process.env.PYTHON || 'python3', signal } = options;
  signal?.throwIfAborted();
  const env = { ...process.env, HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false' };
  const child = spawn(python, ['-W', 'ignore', '-c', program], { env, stdio: ['pipe', 'ignore', 'pipe'] });
  const stop = () => child.kill();
  signal?.addEventListener('abort', stop, { once: true });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors = (errors + chunk).slice(-20_000);
  });
  // A program that ends before it has read its request says why on standard error.
  child.stdin.on('error', () => {});
  child.stdin.end(JSON.stringify(request));
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal?.throwIfAborted();
    if (code !== 0) throw explain(python, errors, code);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new ListwiseError('SETUP', `${python} cannot be run: install Python 3.10 or newer, or name one by --python.`);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function explain(python: string, errors: string, code: number | null): ListwiseError {
  const missing = /ModuleNotFoundError: No module named '([\w.]+)'/.exec(errors)?.[1];
  if (missing) {
    const packages = PACKAGES.includes(missing) ? PACKAGES : `${PACKAGES} ${missing}`;
    const remedy = `run \`${python} -m pip install ${packages}\`, or name a Python that has them by --python`;
    return new ListwiseError('SETUP', `${python} has no package ${missing}, which the export needs: ${remedy}.`);
  }
  const lines = errors.trim().split('\n').slice(-3).join(' | ');
  return new ListwiseError('INTERNAL', `${python} ended with ${code}: ${lines}`);
}

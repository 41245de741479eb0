import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { ListwiseError } from '../errors.js';

export interface PythonOptions {
  /** The program; the variable PYTHON, else python3, by default. */
  python?: string | undefined;
  signal?: AbortSignal | undefined;
}

const PACKAGES = 'torch transformers onnx onnxruntime';

/** What a program of a PythonWorker begins with: it takes requests from `requests()`, and answers each by going on. */
const REQUESTS = `
import json, os, sys
def requests():
    for line in sys.stdin:
        yield json.loads(line)
        os.write(3, b"\\n")
`;

/**
 * A Python program that answers one request after another, so that it loads its model once. Requests are lines of JSON
 * on standard input; descriptor 3 tells that one is done, since libraries print to standard output what they like.
 */
export class PythonWorker implements AsyncDisposable {
  readonly #python: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #errors = '';

  /** @param program may use `requests()`, `json`, `os` and `sys` */
  constructor(program: string, python: string = process.env.PYTHON || 'python3') {
    this.#python = python;
    const env = { ...process.env, HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false' };
    const stdio: ('pipe' | 'ignore')[] = ['pipe', 'ignore', 'pipe', 'pipe'];
    this.#child = spawn(python, ['-W', 'ignore', '-c', REQUESTS + program], { env, stdio });
    this.#child.stderr?.on('data', (chunk) => {
      this.#errors = (this.#errors + chunk).slice(-20_000);
    });
    // A program that ends before it has read its request says why on standard error.
    this.#stdin.on('error', () => {});
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('error', (error) => reject(this.#unusable(error)));
      this.#child.once('close', resolve);
    });
    this.#ended.catch(() => {});
  }

  get #stdin(): Writable {
    return this.#child.stdin as Writable;
  }

  /**
   * Has a request answered; the one before must be.
   * @throws ListwiseError SETUP if Python or a package of the export is missing, naming what to install; INTERNAL with
   *   the program's last words if it fails; `signal.reason` when aborted, and the program has then ended
   */
  async ask(request: object, signal?: AbortSignal): Promise<void> {
    this.#stdin.write(`${JSON.stringify(request)}\n`);
    const early = this.#ended.then((code) => {
      throw this.#explain(code);
    });
    await this.#untilAborted(Promise.race([once(this.#child.stdio[3] as Readable, 'data'), early]), signal);
  }

  /**
   * Lets the program come to its end after what it was given.
   * @returns its exit code
   */
  async end(signal?: AbortSignal): Promise<number | null> {
    this.#stdin.end();
    return this.#untilAborted(this.#ended, signal);
  }

  /** Runs a program that has one request, which it reads whole from standard input. @throws as ask */
  static async run(program: string, request: object, { python, signal }: PythonOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    await using worker = new PythonWorker(program, python);
    worker.#stdin.write(JSON.stringify(request));
    const code = await worker.end(signal);
    if (code !== 0) throw worker.#explain(code);
  }

  async #untilAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
    const stop = () => this.#child.kill();
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      return await work;
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener('abort', stop);
      signal?.throwIfAborted();
    }
  }

  #unusable(error: NodeJS.ErrnoException): Error {
    if (error.code !== 'ENOENT') return error;
    const remedy = 'install Python 3.10 or newer, or name one by --python';
    return new ListwiseError('SETUP', `${this.#python} cannot be run: ${remedy}.`);
  }

  #explain(code: number | null): ListwiseError {
    const missing = /ModuleNotFoundError: No module named '([\w.]+)'/.exec(this.#errors)?.[1];
    if (missing) {
      const packages = PACKAGES.includes(missing) ? PACKAGES : `${PACKAGES} ${missing}`;
      const remedy = `run \`${this.#python} -m pip install ${packages}\`, or name a Python that has them by --python`;
      return new ListwiseError(
        'SETUP',
        `${this.#python} has no package ${missing}, which the export needs: ${remedy}.`,
      );
    }
    const lines = this.#errors.trim().split('\n').slice(-3).join(' | ');
    return new ListwiseError('INTERNAL', `${this.#python} ended with ${code}: ${lines}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stdin.end();
    this.#child.kill();
    await this.#ended.catch(() => {});
  }
}

/**
 * Whether Python has a package.
 * @throws ListwiseError SETUP if Python is missing; `signal.reason` when aborted
 */
export async function hasPackage(name: string, { python, signal }: PythonOptions = {}): Promise<boolean> {
  signal?.throwIfAborted();
  const find = `import importlib.util; sys.exit(importlib.util.find_spec("${name}") is None)`;
  await using worker = new PythonWorker(find, python);
  return (await worker.end(signal)) === 0;
}

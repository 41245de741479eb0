import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { temporaryDirectory, writeJson } from './helpers.js';

const program = fileURLToPath(new URL('programs/train.ts', import.meta.url));

/** A process that has its modules loaded and waits for the word to train. */
export class TrainingProcess {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #said: string[] = [];
  #errors = '';
  readonly ended: Promise<{ code: number | null; signal: string | null }>;

  constructor(options: object) {
    const file = join(temporaryDirectory(), 'options.json');
    writeJson(file, options);
    this.#process = spawn(process.execPath, ['--import', 'tsx', program, file], { stdio: 'pipe' });
    this.#process.stdout.on('data', (data) => this.#said.push(...String(data).split('\n').filter(Boolean)));
    this.#process.stderr.on('data', (data) => {
      this.#errors += data;
    });
    this.#process.stdin.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.#process.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  get events(): TrainingEvent[] {
    return this.#said.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }

  get errors(): string {
    return this.#errors;
  }

  /** The last step that it said it took. */
  get step(): number {
    return Number(this.#said.findLast((line) => line.startsWith('step '))?.slice(5) ?? 0);
  }

  /** Resolves once it took so many steps, or has ended. */
  async stepped(steps: number): Promise<void> {
    while (this.#said.filter((line) => line.startsWith('step ')).length < steps && this.#process.exitCode === null)
      await sleep(1);
  }

  /** Resolves once it said something beyond `lines`, or has ended. */
  async said(lines: number): Promise<void> {
    while (this.#said.length <= lines && this.#process.exitCode === null && !this.#process.killed) await sleep(1);
  }

  go(): void {
    this.#process.stdin.write('go\n');
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }
}

import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { runCommandLine } from '../lib/cli/program.js';
import { smallModelDirectory } from '../lib/setup/model.js';
import { root } from '../lib/setup/paths.js';
import { temporaryDirectory } from './helpers.js';

export const model = smallModelDirectory();
/** A directory for the tests of a group, and in it a small test set; there where `useTestSet` was called. */
export let home: string;
export let data: string;

const PASSAGES = [
  ['1', 'Boundary layers', 'Transition to turbulence in the boundary layer of a flat plate.'],
  ['2', 'Heat', 'Heat transfer to a blunt body in hypersonic flow.'],
  ['3', 'Cooking', 'Boil the pasta for nine minutes and drain it.'],
  ['4', 'Gardening', 'Tomatoes need sun, water and support.'],
];
/** Id and text of the queries of the test set. */
export const QUERIES = [
  ['a', 'when does a boundary layer become turbulent'],
  ['b', 'how hot does the nose of a re-entry vehicle get'],
  ['c', 'how long to cook spaghetti'],
];

/** Writes a file in `home`, and gives its path. */
export function write(name: string, content: string): string {
  const file = join(home, name);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, content);
  return file;
}

export const jsonl = (records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');

/** Runs a command line in this process. */
export async function run(...args: string[]) {
  let stdout = '';
  let stderr = '';
  const code = await runCommandLine(args, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}

/** The same, with somebody at the terminal who types an answer. */
export async function runAtTerminal(args: string[], answer: string) {
  let stderr = '';
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 200 });
  terminal.on('data', (text) => (stderr += text));
  const stdin = Object.assign(new PassThrough(), { isTTY: true }) as unknown as NodeJS.ReadStream;
  (stdin as unknown as PassThrough).write(answer);
  const code = await runCommandLine(args, { stdout: { write: () => {} }, stderr: terminal, stdin });
  return { code, stderr };
}

/** Runs a command line in a process of its own; `onOutput` may send it signals. */
export function spawnCli(
  args: string[],
  { env = {}, onOutput = (_kill: (signal: NodeJS.Signals) => void, _text: string) => {} } = {},
) {
  const child = spawn(process.execPath, ['--import=tsx', join(root, 'lib/cli/main.ts'), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => {
    stderr += text;
    onOutput((signal) => child.kill(signal), String(text));
  });
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('exit', (code) => resolve({ code, stdout, stderr }));
  });
}

export function useTestSet(): void {
  before(() => {
    home = temporaryDirectory();
    data = join(home, 'data');
    write('data/corpus.jsonl', jsonl(PASSAGES.map(([_id, title, text]) => ({ _id, title, text }))));
    write('data/queries.jsonl', jsonl(QUERIES.map(([_id, text]) => ({ _id, text }))));
    write('data/qrels/test.tsv', 'query-id\tcorpus-id\tscore\na\t1\t1\nb\t2\t1\nc\t3\t1\n');
  });
}

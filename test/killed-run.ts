import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect } from 'chai';
import { Random } from '../lib/random.js';
import { root } from '../lib/setup/paths.js';
import type { SpecializeOptions } from '../lib/specialize/options.js';

const program = join(import.meta.dirname, 'programs', 'specialize.ts');

/** How a process with a run ended, and what it told. */
export interface Ending {
  killed: boolean;
  lines: string[];
  seconds: number;
}

/** Runs specialize in a process, and kills it `after` seconds or at its `after`th line, if it is not done by then. */
export function runInProcess(
  options: SpecializeOptions,
  after: { seconds?: number; lines?: number } = {},
  shell?: string,
): Promise<Ending> {
  const started = performance.now();
  const args = ['--import=tsx', program, JSON.stringify(options)];
  const child = shell
    ? spawn('bash', ['-c', `${shell}; exec "$0" "$@"`, process.execPath, ...args], { cwd: root })
    : spawn(process.execPath, args, { cwd: root });
  let text = '';
  const { seconds = Number.POSITIVE_INFINITY, lines = Number.POSITIVE_INFINITY } = after;
  const timer = seconds < 1e6 ? setTimeout(() => child.kill('SIGKILL'), seconds * 1000) : undefined;
  child.stdout.on('data', (part) => {
    text += part;
    if (text.split('\n').length > lines) child.kill('SIGKILL');
  });
  child.stderr.on('data', (part) => {
    text += part;
  });
  return new Promise((resolve) => {
    child.on('close', (_code, signal) => {
      clearTimeout(timer);
      const told = text.trimEnd().split('\n');
      resolve({ killed: signal === 'SIGKILL', lines: told, seconds: (performance.now() - started) / 1000 });
    });
  });
}

/**
 * Does a run again and again from nothing, killing it at random moments and starting it again, until it was killed so
 * many times; each time it gets to its end, its files are compared with those of a run that nobody stopped.
 * @returns the stages that were killed at, by the last event of each killed process
 */
export async function killRepeatedly(options: SpecializeOptions, kills: number, seed: number): Promise<string[]> {
  // Of the same name, which the report has as its title.
  const whole = { ...options, output: join(dirname(options.output), 'whole', basename(options.output)) };
  const reference = await runInProcess(whole);
  expect(reference.lines.at(-1), reference.lines.join('\n')).to.equal('complete');
  const random = Random.for(seed, 'kills');
  const where: string[] = [];
  while (where.length < kills) {
    rmSync(options.output, { recursive: true, force: true });
    for (;;) {
      const isOver = where.length >= kills;
      const { lines } = reference;
      // Half of the kills by time, half at an event: most of the time is spent in few places.
      const byTime = { seconds: (0.2 + 0.8 * random.float()) * reference.seconds };
      const after = isOver ? {} : random.float() < 0.5 ? byTime : { lines: anyLine(lines, random) };
      const ending = await runInProcess(options, after);
      if (!ending.killed) {
        expect(ending.lines.at(-1), ending.lines.join('\n')).to.equal('complete');
        break;
      }
      where.push(ending.lines.at(-1) || '(start)');
    }
    expectSameFiles(options.output, whole.output);
  }
  return where;
}

/** The number of a line, of any kind of work as likely as of any other. */
function anyLine(lines: readonly string[], random: Random): number {
  const kinds = [...new Set(lines.map((line) => line.split(' ')[0]))];
  const kind = kinds[random.integer(kinds.length)];
  const places = lines.flatMap((line, i) => (line.split(' ')[0] === kind ? [i + 1] : []));
  return places[random.integer(places.length)]!;
}

/** Names of what tells time or the memory of the machine, and of nothing else. */
const TIMES = new Set(
  'started seconds waitSeconds time tokensPerSecond keepBytes roomBytes rssBytes peakRssBytes peakBytes'.split(' '),
);

/** The same on pages for people. */
const SHOWN_TIMES = /\d{4}-\d\d-\d\d( \d\d:\d\d)?|(\b[\d.]+ (h|min|s)\b ?)+|\b\d+ a second\b|\bseconds [\d.]+/g;

/** Compares two run directories: the same files, and byte for byte the same but for times. */
export function expectSameFiles(run: string, other: string): void {
  const files = filesOf(run);
  expect(files).to.deep.equal(filesOf(other));
  expect(files).to.include('training/model/model.safetensors').and.to.include('promotion/promotion.json');
  for (const file of files) {
    const [a, b] = [run, other].map((directory) => readFileSync(join(directory, file)));
    if (a!.equals(b!)) continue;
    expect(file, `${file} differs`).to.match(/\.(jsonl?|html|md)$/);
    expect(withoutTimes(a!, run), file).to.equal(withoutTimes(b!, other));
  }
}

/** All files below a directory, by their paths in it. */
export function filesOf(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(directory.length + 1))
    .sort();
}

function withoutTimes(content: Buffer, directory: string): string {
  const text = content.toString('utf8').replaceAll(directory, 'RUN');
  if (!/^\s*\{/.test(text)) return text.replace(SHOWN_TIMES, 'time ');
  const parse = (part: string) => JSON.stringify(JSON.parse(part, (name, value) => (TIMES.has(name) ? 'time' : value)));
  // Hashes of files that hold times differ as these do.
  const hashes = /"(training\/(training\.json|log\.jsonl))":"[0-9a-f]{64}"/g;
  const records = text.startsWith('{\n') ? [text] : text.trimEnd().split('\n');
  return records.map(parse).join('\n').replace(hashes, '"$1":"hash"');
}

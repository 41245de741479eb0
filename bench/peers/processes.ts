import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { middle } from '../comparison.js';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** What peer.py and ours.ts print. */
export interface Output {
  /** Texts, pairs or slots. */
  work: number;
  seconds: number;
  losses?: [listwise: number, contrastive: number][];
  tokens?: number;
  passages?: number;
  /** Of an embedding. */
  dimension?: number;
  recomputedTokens?: number;
  peakBytes?: number;
  peakRss?: number;
  /** Of the step alone, without tokenising; and the operations of its texts' forward pass. */
  stepSeconds?: number;
  flops?: number;
  /** What the memory planner chose, in words. */
  plan?: string;
  /** What the GPU calls itself. */
  gpu?: string;
  threads: number;
}

export interface Place {
  python: string;
  device: string;
  threads: number;
}

export type Flags = Record<string, string | number>;

function run(program: string, args: string[], { threads }: Place): Output {
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  const text = execFileSync(program, args, {
    env,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(text.trimEnd().split('\n').at(-1)!) as Output;
}

const listed = (flags: Flags) => Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);

export function ours(work: 'encode' | 'score' | 'train', flags: Flags, place: Place): Output {
  const args = ['--import=tsx', here('ours.ts'), work, ...listed({ device: place.device, ...flags })];
  return run(process.execPath, args, place);
}

export function peer(work: 'encode' | 'score' | 'head' | 'train', flags: Flags, place: Place): Output {
  return run(place.python, [here('peer.py'), work, ...listed({ device: place.device, ...flags })], place);
}

export interface Ratio {
  ours: number;
  theirs: number;
  /** What the last runs printed. */
  last: { ours: Output; theirs: Output };
  minimum: number;
  median: number;
  maximum: number;
}

/** Runs the two in turn. Rates are medians; the ratio is that of the medians, with each round's least and largest. */
export function interleave(rounds: number, ourRun: () => Output, theirRun: () => Output): Ratio {
  const rate = ({ work, seconds }: Output) => work / seconds;
  const pairs = Array.from({ length: rounds }, () => ({ ours: ourRun(), theirs: theirRun() }));
  const ratios = pairs.map((pair) => rate(pair.ours) / rate(pair.theirs));
  const ours = middle(pairs.map((pair) => rate(pair.ours)));
  const theirs = middle(pairs.map((pair) => rate(pair.theirs)));
  const spread = { minimum: Math.min(...ratios), median: ours / theirs, maximum: Math.max(...ratios) };
  return { ours, theirs, last: pairs.at(-1)!, ...spread };
}

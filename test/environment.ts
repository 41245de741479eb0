import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Context } from 'mocha';

const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
let hasSentenceTransformers: boolean | undefined;

/** Skips a test where the Python that LISTWISE_TEST_PYTHON names (default python3) has no sentence-transformers. */
export function skipWithoutPython(test: Context): void {
  test.timeout(120_000);
  const find = 'import importlib.util, sys; sys.exit(importlib.util.find_spec("sentence_transformers") is None)';
  hasSentenceTransformers ??= spawnSync(python, ['-c', find]).status === 0;
  if (hasSentenceTransformers) return;
  test.test!.title += ` (skipped: ${python} has no sentence_transformers; set LISTWISE_TEST_PYTHON)`;
  test.skip();
}

const PROGRAM = `
import json, sys
from sentence_transformers import SentenceTransformer
given = json.load(sys.stdin)
results = []
for directory in given["models"]:
    model = SentenceTransformer(directory, device="cpu")
    encode = {"query": model.encode_query, "passage": model.encode_document}
    results.append({kind: encode[kind](given["texts"]).flatten().tolist() for kind in encode})
json.dump(results, sys.stdout)
`;

interface PythonEmbeddings {
  query: number[];
  passage: number[];
}

/** What sentence-transformers gives for texts as queries and as passages. */
export async function embeddingsInPython(model: string, texts: readonly string[]): Promise<PythonEmbeddings> {
  return (await embeddingsOfModelsInPython([model], texts))[0]!;
}

/** The same for several models, in one process: it takes seconds to start. */
export async function embeddingsOfModelsInPython(
  models: readonly string[],
  texts: readonly string[],
): Promise<PythonEmbeddings[]> {
  const child = spawn(python, ['-c', PROGRAM], { env: { ...process.env, HF_HUB_OFFLINE: '1' } });
  child.stdin.end(JSON.stringify({ models, texts }));
  const [output, errors] = await Promise.all([child.stdout, child.stderr].map((stream) => stream.toArray()));
  const code = await new Promise<number | null>((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`Python ended with ${code}:\n${Buffer.concat(errors!)}`);
  return JSON.parse(Buffer.concat(output!).toString());
}

interface Pauses {
  /** The most that the main thread worked between two ticks of a timer, in ms: a single turn of the event loop. */
  busy: number;
  /** The share of the time in which the timer was more than 50 ms late, whatever the reason but for want of a processor. */
  late: number;
  /** How long the work took, in ms. */
  work: number;
}

/**
 * Runs work beside a timer, and tells how it held up the event loop. Other processes make any timer late, so what counts
 * is this thread's own work, where the system tells it (Linux); `late` adds what it waited for beside a processor.
 * @param work is given a function that starts the measurement anew
 */
export async function pausesDuring(work: (restart: () => void) => Promise<unknown>): Promise<Pauses> {
  let [busy, late, started, last] = [0, 0, performance.now(), mainThread()];
  const tick = () => {
    const now = mainThread();
    busy = Math.max(busy, now.worked - last.worked);
    const pause = now.time - last.time - (now.waited - last.waited);
    if (pause > 50) late += pause;
    last = now;
  };
  const restart = () => {
    [busy, late, started, last] = [0, 0, performance.now(), mainThread()];
  };
  const timer = setInterval(tick, 2);
  try {
    await work(restart);
    tick();
    const took = performance.now() - started;
    return { busy, late: late / took, work: took };
  } finally {
    clearInterval(timer);
  }
}

/** Milliseconds that the main thread has worked, and waited for a processor while it was ready to. */
function mainThread(): { time: number; worked: number; waited: number } {
  const time = performance.now();
  try {
    const [worked, waited] = readFileSync('/proc/self/schedstat', 'utf8').split(' ').map(Number);
    return { time, worked: worked! / 1e6, waited: waited! / 1e6 };
  } catch {
    return { time, worked: time, waited: 0 };
  }
}

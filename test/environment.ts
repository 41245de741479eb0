import { spawn, spawnSync } from 'node:child_process';
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

/**
 * Runs work beside a timer.
 * @param work is given a function that starts the measurement anew
 * @returns the longest time between two ticks, and how long the work took, in ms
 */
export async function longestPause(
  work: (restart: () => void) => Promise<unknown>,
): Promise<{ pause: number; work: number }> {
  let [pause, last, started] = [0, performance.now(), performance.now()];
  const tick = () => {
    const now = performance.now();
    pause = Math.max(pause, now - last);
    last = now;
  };
  const restart = () => {
    started = performance.now();
    [pause, last] = [0, started];
  };
  const timer = setInterval(tick, 2);
  try {
    await work(restart);
    tick();
    return { pause, work: performance.now() - started };
  } finally {
    clearInterval(timer);
  }
}

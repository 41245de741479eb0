/** Ends in the midst of native work, in the way that the first argument names; the second is a model directory. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Embedder } from '../../lib/embedder.js';
import { native } from '../../lib/native.js';
import { trainListwise } from '../../lib/training/train.js';

const [way, model, output] = isMainThread ? process.argv.slice(2) : (workerData as string[]);

/** Says once that native work runs, which then goes on for many seconds. */
async function encodeLong(onBusy: () => void): Promise<void> {
  const embedder = await Embedder.load(model!);
  const texts = Array.from({ length: 2000 }, (_, i) => `text ${i} `.repeat(60));
  await embedder.encode(texts, { onProgress: onBusy });
}

async function trainLong(onBusy: () => void): Promise<void> {
  const lists = Array.from({ length: 40 }, (_, i) => ({
    id: `q${i}`,
    query: `query ${i}`,
    passages: [0, 1, 2].map((j) => ({ id: `p${i}-${j}`, text: `passage ${i} ${j} `.repeat(60), score: 1 - j / 2 })),
  }));
  await trainListwise({
    ...{ model: model!, lists, output: output!, teacherTemperature: 0.3 },
    onProgress: ({ stage, done }) => stage === 'training' && done > 0 && onBusy(),
  });
}

if (!isMainThread) {
  await encodeLong(() => parentPort!.postMessage('busy'));
} else if (way === 'terminate') {
  native();
  const program = `import('tsx/esm/api').then(({ register }) => (register(), import('${import.meta.url}')))`;
  const worker = new Worker(program, { eval: true, workerData: [way, model] });
  worker.once('error', (error) => {
    throw error;
  });
  worker.once('message', async () => {
    await worker.terminate();
    const embedder = await Embedder.load(model!);
    await embedder.encode(['the addon still works here']);
    await embedder.dispose();
    console.log('terminated');
  });
} else if (way === 'exit' || way === 'exit while training') {
  const work = way === 'exit' ? encodeLong : trainLong;
  await work(() => {
    console.log('exiting');
    process.exit(3);
  });
} else if (way === 'throw') {
  await encodeLong(() =>
    setImmediate(() => {
      throw new Error('thrown on purpose');
    }),
  );
} else if (way === 'abort') {
  const stop = new AbortController();
  const error = await Embedder.load(model!).then((embedder) =>
    embedder
      .encode(
        Array.from({ length: 2000 }, (_, i) => `text ${i} `.repeat(60)),
        {
          signal: stop.signal,
          onProgress: () => stop.abort(new Error('enough')),
        },
      )
      .catch((reason) => reason),
  );
  console.log(`rejected: ${error.message}`);
}

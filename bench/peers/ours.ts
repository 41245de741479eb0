// listwise on the input of peer.py, in a process of its own. Prints one JSON object.
//   ours.ts encode --model DIR --texts texts.jsonl --max-length 256 --output embeddings.f32 [--precision int8]
//   ours.ts score  --model DIR --pairs pairs.jsonl --max-length 512 --output scores.f32 [--precision int8]
//   ours.ts train  --model DIR --lists lists.jsonl --max-length 512 --queries 64 --steps 1 [--keep-bytes N]
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CrossEncoder } from '../../lib/cross-encoder.js';
import { Embedder } from '../../lib/embedder.js';
import { loadModel } from '../../lib/models/model.js';
import type { Pair } from '../../lib/models/pairs.js';
import type { Tokenizer } from '../../lib/models/tokenizer.js';
import {
  type Device,
  type LossOptions,
  type NativeTrainer,
  native,
  type PackedTexts,
  type Precision,
  runJob,
  type StepArgs,
} from '../../lib/native.js';
import type { Batch } from '../../lib/training/batches.js';
import { describePlan, planMemory, sizeOf } from '../../lib/training/planner.js';
import { middle } from '../comparison.js';
import { forwardFlops } from './flops.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string' },
    texts: { type: 'string' },
    pairs: { type: 'string' },
    lists: { type: 'string' },
    output: { type: 'string' },
    'max-length': { type: 'string' },
    'query-max-length': { type: 'string', default: '64' },
    queries: { type: 'string' },
    steps: { type: 'string', default: '1' },
    device: { type: 'string', default: 'cpu' },
    precision: { type: 'string' },
    /** On a GPU both are planned, as in training. */
    'token-budget': { type: 'string', default: '4096' },
    'keep-bytes': { type: 'string', default: String(4 * 2 ** 30) },
  },
});

interface List {
  query: string;
  passages: { id: string; text: string; score: number }[];
}

const lines = (file: string) => readFileSync(file, 'utf8').trimEnd().split('\n');
const place = { device: values.device as Device, precision: values.precision as Precision | undefined };
const maxLength = Number(values['max-length']);

const LOSS: LossOptions = {
  ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.01 },
  ...{ contrastiveWeight: 0.1, listwiseWeight: 1, maskThreshold: 0.6 },
};

async function encode() {
  const texts = lines(values.texts!).map((line) => JSON.parse(line) as string);
  await using embedder = await Embedder.load(values.model!, { ...place, maxLength });
  await embedder.encode(texts.slice(0, 64));
  const start = performance.now();
  const embeddings = await embedder.encode(texts);
  const seconds = (performance.now() - start) / 1000;
  if (values.output) writeFileSync(values.output, embeddings);
  return { work: texts.length, seconds };
}

async function score() {
  const pairs = lines(values.pairs!).map((line) => JSON.parse(line) as Pair);
  await using scorer = await CrossEncoder.load(values.model!, { ...place, maxLength });
  await scorer.score(pairs.slice(0, 64));
  const start = performance.now();
  const scores = await scorer.score(pairs);
  const seconds = (performance.now() - start) / 1000;
  if (values.output) writeFileSync(values.output, scores);
  return { work: pairs.length, seconds };
}

const lengthsOf = ({ offsets }: PackedTexts) => Array.from(offsets.subarray(1), (end, i) => end - offsets[i]!);

/** What a step computes with, from texts: each distinct passage once. */
async function prepare(tokenizer: Tokenizer, lists: List[]) {
  const rowOf = new Map<string, number>();
  const texts: string[] = [];
  for (const { id, text } of lists.flatMap((list) => list.passages)) {
    if (rowOf.has(id)) continue;
    rowOf.set(id, texts.length);
    texts.push(text);
  }
  return {
    queries: await tokenizer.pack(
      lists.map((list) => list.query),
      { maxLength: Number(values['query-max-length']) },
    ),
    passages: await tokenizer.pack(texts, { maxLength }),
    rows: Int32Array.from(lists.flatMap((list) => list.passages.map(({ id }) => rowOf.get(id)!))),
    teacher: Float64Array.from(lists.flatMap((list) => list.passages.map(({ score }) => score))),
    listLength: lists[0]!.passages.length,
  };
}

/** Micro-batches and memory: on the CPU what the flags say, on a GPU what training would plan for this batch. */
function cutOf(batch: Omit<Batch, 'lists'>, trainer: NativeTrainer) {
  if (place.device === 'cpu') {
    return { tokenBudget: Number(values['token-budget']), keepBytes: Number(values['keep-bytes']), plan: undefined };
  }
  const size = sizeOf({ ...batch, lists: new Int32Array(batch.queries.offsets.length - 1) });
  const plan = planMemory(size, trainer.memory(), { device: 'cuda', free: 0, used: 0 });
  return { tokenBudget: plan.tokenBudget, keepBytes: plan.keepBytes, plan: describePlan(plan) };
}

async function train() {
  const all = lines(values.lists!).map((line) => JSON.parse(line) as List);
  const lists = all.slice(0, Number(values.queries ?? all.length));
  const { encoder, tokenizer, directory } = await loadModel(values.model!, place);
  const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clip: 1 };
  const trainer = native().createTrainer(encoder, optimizer);
  const step = async (some: List[], learningRate: number) => {
    const start = performance.now();
    const batch = { ...(await prepare(tokenizer, some)), pooling: 'mean', loss: LOSS } as const;
    const { plan, ...cut } = cutOf(batch, trainer);
    const args: StepArgs = { ...batch, ...cut, learningRate };
    const tokenised = performance.now();
    const result = await runJob(() => trainer.step(args));
    const end = performance.now();
    const lengths = [batch.queries, batch.passages].flatMap(lengthsOf);
    const times = { seconds: (end - start) / 1000, stepSeconds: (end - tokenised) / 1000 };
    const flops = forwardFlops(directory.architecture, lengths);
    return { ...result, ...times, flops, plan, passages: lengthsOf(batch.passages).length };
  };
  await step(lists.slice(0, 4), 0);
  const results = [];
  for (let i = 0; i < Number(values.steps); i++) results.push(await step(lists, 2e-5));
  const { tokens, peakBytes, recomputedTokens, passages, flops, tokenBudget, plan } = results.at(-1)!;
  return {
    work: lists.length * lists[0]!.passages.length,
    seconds: middle(results.map(({ seconds }) => seconds)),
    stepSeconds: middle(results.map(({ stepSeconds }) => stepSeconds)),
    losses: results.map(({ listwise, contrastive }) => [listwise, contrastive]),
    ...{ tokens, passages, recomputedTokens, peakBytes, flops, tokenBudget, plan, dimension: encoder.dimension },
  };
}

const result = await (positionals[0] === 'encode' ? encode() : positionals[0] === 'score' ? score() : train());
const peakRss = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify({ ...result, peakRss, ...native().environment() }));

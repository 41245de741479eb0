/**
 * Trains a cross-encoder on a BEIR directory, measures what reranking by it gives, and with --specialize has it teach an
 * embedding model, beside the fused teacher. README.md says more.
 *
 *     node examples/scifact-teacher/run.js --data scifact [--queries written.jsonl] [--specialize]
 */
import { existsSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  compare,
  formatComparison,
  progressDisplay,
  specialize,
  trainCrossEncoder,
  writeLabelledLists,
} from '../../dist/index.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    queries: { type: 'string' },
    model: { type: 'string', default: 'sentence-transformers/all-MiniLM-L6-v2' },
    output: { type: 'string', default: 'runs/scifact-teacher' },
    'list-length': { type: 'string', default: '8' },
    'max-length': { type: 'string', default: '256' },
    epochs: { type: 'string', default: '4' },
    'learning-rate': { type: 'string', default: '2e-4' },
    'batch-size': { type: 'string', default: '16' },
    loss: { type: 'string', default: 'listwise' },
    specialize: { type: 'boolean', default: false },
    steps: { type: 'string', default: '6' },
  },
});
const { data, queries, model, output, loss } = values;
if (!data) {
  console.error('Give --data, a directory with corpus.jsonl, queries.jsonl, qrels/train.tsv and qrels/test.tsv.');
  process.exit(2);
}
const maxLength = Number(values['max-length']);

const controller = new AbortController();
process.once('SIGINT', () => controller.abort(new Error('Stopped. The same command goes on from here.')));
const { signal } = controller;
const progress = progressDisplay(process.stderr);
const onProgress = (one) => progress.show(one);
const say = (text) => {
  progress.end();
  console.log(text);
};
const work = { signal, onProgress };

/** Lists: people's judgements in qrels/train.tsv, or the passages that queries were written for; made once. */
async function makeLists() {
  const place = join(output, 'lists');
  const files = { lists: join(place, 'lists.train.jsonl'), dev: join(place, 'lists.dev.jsonl') };
  if (existsSync(files.lists) && existsSync(files.dev)) return files;
  const source = queries ? { queries } : { data, split: 'train' };
  const listLength = Number(values['list-length']);
  const made = await writeLabelledLists({ corpus: data, ...source, model, listLength, output: place, ...work });
  say(`lists: ${made.train} to train on, ${made.devLists} to stop by, ${made.dropped} queries dropped`);
  return files;
}

/** What reranking the embedder's 100 best by the cross-encoder gives on the test queries; computed once a model. */
async function measure(scorer) {
  const file = join(output, 'reranking.json');
  const isNew = !existsSync(file) || statSync(file).mtimeMs < statSync(join(scorer, 'model.safetensors')).mtimeMs;
  if (!isNew) return JSON.parse(await readFile(file, 'utf8'));
  const comparison = await compare({
    base: { name: 'embedder', model },
    others: [{ name: 'reranked', model, rerank: scorer, rerankDepth: 100, rerankMaxLength: maxLength }],
    ...{ data, measures: ['nDCG@10', 'RR@10', 'P@1'], maxLength: 256, ...work },
  });
  await writeFile(file, `${JSON.stringify(comparison, null, 2)}\n`);
  return comparison;
}

/** The embedding model, taught by a teacher, against itself before; a run directory goes on where it was. */
async function teachBy(name, teacher) {
  const training = queries ? { queries } : { humanQueries: data };
  const { evaluation, promotion } = await specialize({
    ...{ corpus: data, model, ...training, data, teacher, output: join(output, `specialized-${name}`) },
    // Few steps, each of all lists: docs/findings.md has what they give.
    ...{ passageMaxLength: maxLength, maxSteps: Number(values.steps), warmupSteps: 0, learningRate: 8e-5 },
    ...{ measures: ['nDCG@10', 'R@100'], mixingShares: [], ...work },
  });
  say(`\nTaught by ${name}:\n${formatComparison(evaluation.comparison, { examples: 0 })}\n${promotion.text}`);
}

try {
  const { directory, base, best, steps } = await trainCrossEncoder({
    ...{ model, ...(await makeLists()), labels: 'scores', corpus: data, output: join(output, 'cross-encoder') },
    ...{ loss, maxLength, batchSize: Number(values['batch-size']), epochs: Number(values.epochs) },
    ...{ learningRate: Number(values['learning-rate']), ...work },
  });
  say(`cross-encoder: ${steps} steps, loss on dev ${base.loss.toFixed(4)} → ${best.loss.toFixed(4)}; ${directory}`);
  say(`\n${formatComparison(await measure(directory), { examples: 2 })}`);
  if (values.specialize) {
    await teachBy('fused', 'fused');
    await teachBy('cross-encoder', { kind: 'cross-encoder', model: directory, maxLength });
  }
} catch (error) {
  progress.end();
  if (error !== signal.reason) throw error;
  console.error(`\n${error.message}`);
  process.exit(130);
}

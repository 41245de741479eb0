/**
 * Makes all-MiniLM-L6-v2 better at searching Cranfield, and measures on human queries whether it is.
 * `npm run quickstart` runs it; LISTWISE_MODEL names another model, an argument another run directory.
 */
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatComparison, specialize } from '../../dist/index.js';
import { smallModelDirectory } from '../../dist/setup/model.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const model = process.env.LISTWISE_MODEL ?? smallModelDirectory();
const output = process.argv[2] ?? fileURLToPath(new URL('../../runs/cranfield', import.meta.url));

// Ctrl-C stops; the same command then goes on with the stage it was in.
const controller = new AbortController();
process.once('SIGINT', () => controller.abort(new Error('Stopped. The same command goes on from here.')));

/** What each stage did, from its counts. */
const describe = {
  corpus: ({ passages, usable }) => `${usable} of ${passages} passages are long enough and no duplicates`,
  embeddings: ({ passages, dimension }) => `${passages} passages × ${dimension} numbers, by the base model`,
  queries: ({ kept, passages }) => `${kept} written queries for ${passages} passages`,
  candidates: ({ queries, kept }) => `${kept} of ${queries} queries have their source among the 20 nearest`,
  teacher: ({ scored }) => `${scored} pairs scored by dense and BM25 together`,
  lists: ({ train, dev }) => `${train} lists to train on, ${dev} to stop by`,
  training: ({ steps, devBase, devBest, teacherTemperature }) =>
    `${steps} steps at the teacher's temperature ${teacherTemperature}; listwise loss on dev ` +
    `${devBase.listwise.toFixed(3)} → ${devBest.listwise.toFixed(3)}`,
  evaluation: ({ queries }) => `base and trained model on ${queries} human queries`,
  promotion: ({ promoted }) =>
    promoted ? 'the trained model passes the gate' : 'the trained model does not pass the gate',
};

const isTerminal = process.stderr.isTTY;
let lastReport = 0;

/** One line that is written over on a terminal; elsewhere a line every ten seconds. */
function showProgress({ stage, done, total, unit, note }) {
  if (Date.now() - lastReport < (isTerminal ? 100 : 10_000)) return;
  lastReport = Date.now();
  const amount = total > 0 ? `${Math.floor(done)} of ${total}` : done;
  const line = `  ${stage}: ${amount} ${unit}${note ? `, ${note}` : ''}`;
  process.stderr.write(isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
}

function showStage({ stage, status, counts, seconds, reason }) {
  if (isTerminal) process.stderr.write('\r\x1b[K');
  if (status === 'done') console.log(`${stage.padEnd(11)} ${describe[stage](counts)} (${seconds.toFixed(1)} s)`);
  if (status === 'reused') console.log(`${stage.padEnd(11)} ${describe[stage](counts)} (done before)`);
  if (status === 'invalidated') console.log(`${stage.padEnd(11)} is done again: ${reason}`);
}

console.log(`Specialising all-MiniLM-L6-v2 to Cranfield (${relative(process.cwd(), output) || '.'}).\n`);

const result = await specialize({
  corpus: here,
  model,
  queries: join(here, 'written-queries.jsonl'),
  data: here,
  output,
  measures: ['nDCG@10', 'R@100'],
  // All lists are one batch, so few steps go far; README.md says how this was chosen, and what a real run would use.
  passageMaxLength: 128,
  maxSteps: 5,
  warmupSteps: 0,
  learningRate: 8e-5,
  teacherTemperature: 0.06,
  evaluateEvery: 5,
  // A few minutes' training is seldom enough to pass the gate; trying mixtures of weights would take another minute.
  mixingShares: [],
  signal: controller.signal,
  onProgress: showProgress,
  onStage: showStage,
}).catch((error) => {
  if (error !== controller.signal.reason) throw error;
  console.error(`\n${error.message}`);
  process.exit(130);
});

const { promotion, evaluation, seconds } = result;
const place = relative(process.cwd(), promotion.promoted ? result.model : result.trained);
console.log(`
${formatComparison(evaluation.comparison, { examples: 2 })}
${promotion.text}

The trained model is in ${place} (whole run: ${Math.round(seconds)} s); ${relative(process.cwd(), result.report)} shows all of it.
To use it from Node:

  import { Embedder } from 'listwise';
  const embedder = await Embedder.load('${place}');
  const vectors = await embedder.encode(['heat transfer in a boundary layer'], { kind: 'query' });

and from Python:

  from sentence_transformers import SentenceTransformer
  model = SentenceTransformer('${place}')
  vectors = model.encode(['heat transfer in a boundary layer'])`);

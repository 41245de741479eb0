/**
 * Makes all-MiniLM-L6-v2 better at searching Cranfield, and measures on human queries whether it is.
 * `npm run quickstart` sets up what is missing and runs it; `npm run quickstart -- --help` lists its options.
 */
import { basename, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatComparison, progressDisplay, specialize } from '../../dist/index.js';
import { smallModelDirectory } from '../../dist/setup/model.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const { maxSteps, model, output } = readArguments();

// Ctrl-C stops; the same command then goes on with the stage it was in.
const controller = new AbortController();
process.once('SIGINT', () => controller.abort(new Error('Stopped. The same command goes on from here.')));

/** A path as one would type it here. */
function shown(path) {
  const short = relative(process.cwd(), path) || '.';
  return short.startsWith('..') ? resolve(path) : short;
}

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

// A bar on a terminal, else a line every few seconds, with rate and time left.
const progress = progressDisplay(process.stderr);

function showStage({ stage, status, counts, seconds, reason }) {
  const line = {
    done: () => `${describe[stage](counts)} (${seconds.toFixed(1)} s)`,
    reused: () => `${describe[stage](counts)} (done before)`,
    continued: () => 'was begun before, goes on',
    invalidated: () => `is done again: ${reason}`,
  }[status]?.();
  if (line) say(`${stage.padEnd(11)} ${line}`);
}

function say(text) {
  progress.end();
  console.log(text);
}

say(`Specialising ${basename(model)} to Cranfield (${shown(output)}).\n`);

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
  ...(maxSteps && { maxSteps }),
  signal: controller.signal,
  onProgress: (one) => progress.show(one),
  onStage: showStage,
}).catch((error) => {
  progress.end();
  if (error !== controller.signal.reason) throw error;
  console.error(`\n${error.message}`);
  process.exit(130);
});

const { promotion, evaluation, seconds } = result;
const place = shown(promotion.promoted ? result.model : result.trained);
say(`
${formatComparison(evaluation.comparison, { examples: 2 })}
${promotion.text}

The trained model is in ${place} (whole run: ${Math.round(seconds)} s); ${shown(result.report)} shows all of it.
To use it from Node:

  import { Embedder } from 'listwise';
  const embedder = await Embedder.load('${place}');
  const vectors = await embedder.encode(['heat transfer in a boundary layer'], { kind: 'query' });

and from Python:

  from sentence_transformers import SentenceTransformer
  model = SentenceTransformer('${place}')
  vectors = model.encode(['heat transfer in a boundary layer'])`);

function readArguments() {
  const usage = `Usage: npm run quickstart -- [options]

  --max-steps <count>   fewer steps of training, to see every stage sooner, or more (default: 5)
  --model <directory>   another model, or its name on the Hub (default: all-MiniLM-L6-v2)
  --output <directory>  the run directory (default: runs/cranfield)
  --help                print this`;
  const text = { type: 'string' };
  try {
    const { values } = parseArgs({
      options: { 'max-steps': text, model: text, output: text, help: { type: 'boolean' } },
    });
    if (values.help) {
      console.log(usage);
      process.exit();
    }
    const steps = values['max-steps'];
    if (steps !== undefined && !/^[1-9]\d*$/.test(steps))
      throw new Error(`--max-steps ${steps}: expected a whole number above 0.`);
    return {
      maxSteps: steps && Number(steps),
      model: values.model ?? smallModelDirectory(),
      output: values.output ?? fileURLToPath(new URL('../../runs/cranfield', import.meta.url)),
    };
  } catch (error) {
    console.error(`${error.message}\n\n${usage}`);
    process.exit(2);
  }
}

import { type Corpus, type CorpusOptions, corpusOptionsOf } from '../corpus/corpus.js';
import { resolveModel } from '../models/hub.js';
import { tokenCounter } from '../models/token-counter.js';
import type { TrainingOptions } from '../training/options.js';
import { describePlan } from '../training/planner.js';
import type { TrainingResult } from '../training/result.js';
import type { TrainingEvent } from '../training/run-start.js';
import { type SourceOptions, settleSources } from '../training/sources.js';
import { type CommandSpec, grouped, type OptionSpec, type Session } from './command.js';
import { CORPUS_HELP, corpusOf, corpusReadingOptions } from './corpus-options.js';
import { loadingOptions, modelOption } from './model-options.js';
import { duration } from './progress.js';

/** How a model is trained; `train` and `specialize` share it. */
export const trainingOptions: readonly OptionSpec[] = [
  { name: 'epochs', kind: 'whole', value: 'count', help: 'most rounds over the lists (default: 30)' },
  { name: 'maxSteps', kind: 'whole', value: 'steps', help: 'stop after this many steps (default: all epochs)' },
  { name: 'batchSize', kind: 'whole', value: 'queries', help: 'queries in a step (default: 4096)' },
  {
    name: 'batching',
    kind: 'text',
    choices: ['random', 'clustered'],
    help: 'which lists share a step (default: random)',
  },
  { name: 'learningRate', kind: 'number', value: 'rate', help: 'highest learning rate (default: 2e-4)' },
  {
    name: 'warmupSteps',
    kind: 'whole',
    value: 'steps',
    help: 'steps of warm-up (default: half an epoch, at least 10)',
  },
  { name: 'minimumRateShare', kind: 'number', value: 'share', help: 'of the highest rate, at the end (default: 0.1)' },
  { name: 'beta1', kind: 'number', value: 'number', help: "AdamW's decay of the first moment (default: 0.9)" },
  { name: 'beta2', kind: 'number', value: 'number', help: 'of the second (default: 0.999)' },
  { name: 'epsilon', kind: 'number', value: 'number', help: "of AdamW's denominator (default: 1e-8)" },
  { name: 'weightDecay', kind: 'number', value: 'number', help: 'of AdamW, on all parameters (default: 0.01)' },
  { name: 'clip', kind: 'number', value: 'length', help: 'longest gradient; 0 for no limit (default: 1)' },
  {
    name: 'teacherTemperature',
    kind: 'number or word',
    value: 'number|match',
    help: "of the teacher's softmax; match: as sharp as the base model's (default: match)",
  },
  { name: 'studentTemperature', kind: 'number', value: 'number', help: "of the student's softmax (default: 0.05)" },
  { name: 'contrastiveTemperature', kind: 'number', value: 'number', help: 'of InfoNCE (default: 0.01)' },
  { name: 'contrastiveWeight', kind: 'number', value: 'weight', help: 'of InfoNCE in the loss (default: 0.1)' },
  { name: 'listwiseWeight', kind: 'number', value: 'weight', help: 'of the listwise loss (default: 1)' },
  {
    name: 'maskThreshold',
    kind: 'number',
    value: 'share',
    help: "candidates above this share of the positive's teacher score are no negatives (default: 0.6)",
  },
  {
    name: 'evaluateEvery',
    kind: 'whole',
    value: 'steps',
    help: "steps between evaluations on dev (default: an epoch's)",
  },
  {
    name: 'patience',
    kind: 'whole',
    value: 'count',
    help: 'evaluations without gain after which to stop (default: 2)',
  },
  {
    name: 'devData',
    kind: 'text',
    value: 'directory',
    help: 'judged queries to measure nDCG@10 on beside the dev losses',
  },
  { name: 'devSplit', kind: 'text', value: 'name', help: 'which judgements of --dev-data (default: dev)' },
  { name: 'devQueries', kind: 'whole', value: 'count', help: 'of --dev-data that are evaluated (default: 200)' },
  { name: 'devDistractors', kind: 'whole', value: 'count', help: 'passages beside the judged ones (default: 2000)' },
  {
    name: 'chooseBy',
    kind: 'text',
    choices: ['loss', 'nDCG@10'],
    help: 'what stops training and chooses the weights: on dev, or on --dev-data (default: loss)',
  },
  { name: 'queryMaxLength', kind: 'whole', value: 'tokens', help: 'longest query (default: 64)' },
  { name: 'passageMaxLength', kind: 'whole', value: 'tokens', help: 'longest passage (default: 512)' },
  {
    name: 'tokenBudget',
    kind: 'whole',
    value: 'tokens',
    help: 'most tokens in a micro-batch (default: 4096, on a GPU 32768, or less)',
  },
  {
    name: 'keepBytes',
    kind: 'whole',
    value: 'bytes',
    help: 'activations to keep in a step (default: what --max-memory leaves)',
  },
  {
    name: 'maxMemory',
    kind: 'text',
    value: 'size',
    orApiValue: 'number',
    help: 'most memory to take, such as 8GB; of the GPU where there is one (default: 70 % of what is free)',
  },
  {
    name: 'checkpointEvery',
    kind: 'whole',
    value: 'steps',
    help: 'steps between checkpoints (default: at epoch ends and every 10 minutes)',
  },
  { name: 'keepCheckpoints', kind: 'whole', value: 'count', help: 'newest checkpoints to keep (default: 2)' },
  {
    name: 'resume',
    kind: 'text',
    choices: ['auto', 'must', 'never'],
    help: 'an unfinished run of the same options: go on with it, refuse to start anew, or start anew (default: auto)',
  },
  { name: 'temperatureLists', kind: 'whole', value: 'count', help: "most lists that 'match' looks at (default: 4096)" },
  { name: 'seed', kind: 'whole', value: 'number', help: 'of everything random (default: 1)' },
];

export const trainCommand: CommandSpec = {
  name: 'train',
  summary: 'train a model on lists of passages with teacher scores',
  description:
    'Listwise distillation with a little InfoNCE, on lists that any tool may have written: JSON Lines of {"query": ..., ' +
    '"passages": [{"id" or "text": ..., "score": ...}, ...]}, the positive first, all lists of one length or cut by --list-length. --corpus is ' +
    'needed where lists name passages by id.\n\n' +
    'Writes into --output: model/ (the weights of the lowest loss on --dev, else the last), log.jsonl (each step and ' +
    'evaluation) and training.json (options and result). A run that was stopped goes on from its last checkpoint when it ' +
    'is started again with the same options; what a different run left there is replaced.',
  options: [
    ...grouped('Inputs', [
      modelOption,
      {
        name: 'lists',
        kind: 'texts',
        value: 'file',
        required: true,
        orApiValue: 'string or array',
        help: 'lists to train on; of several files each step takes one, in proportion to their sizes',
      },
      {
        name: 'dev',
        kind: 'texts',
        value: 'file',
        orApiValue: 'string or array',
        help: 'lists to stop and to choose the weights by; one for each of --lists',
      },
      {
        name: 'corpus',
        kind: 'texts',
        value: 'path',
        orApiValue: 'string or array',
        help: `${CORPUS_HELP}; one for all of --lists, or one for each`,
      },
      { name: 'listLength', kind: 'whole', value: 'passages', help: 'passages used of each list (default: all)' },
    ]),
    ...grouped('Corpus', corpusReadingOptions),
    ...grouped('Training', trainingOptions),
    ...grouped('Model', loadingOptions),
    ...grouped('Output', [
      { name: 'output', kind: 'text', value: 'directory', required: true, help: 'where results go' },
    ]),
  ],
  examples: [
    {
      line: 'train --model sentence-transformers/all-MiniLM-L6-v2 --corpus cranfield --lists lists.train.jsonl --dev lists.dev.jsonl --output runs/first',
      purpose: 'with the defaults of the paper',
    },
    {
      line: 'train --model BAAI/bge-base-en-v1.5 --lists a.train.jsonl b.train.jsonl --dev a.dev.jsonl b.dev.jsonl --corpus a b --output runs/both',
      purpose: 'two sets, each with a corpus of its own',
    },
    {
      line: 'train --config train.json --max-steps 30 --learning-rate 3e-5 --output runs/short',
      purpose: 'options from a file, some changed here',
    },
  ],
  async run(all, session) {
    const { signal, onProgress } = session;
    const options = await withCorpora(all, session);
    const { trainListwise } = await import('../training/train.js');
    const onEvent = (event: TrainingEvent) => tellEvent(event, session);
    const result = await trainListwise({ ...(options as unknown as TrainingOptions), signal, onProgress, onEvent });
    return { json: result, text: readable(result) };
  },
};

/** The options of trainListwise, with corpora loaded where options beside them say how they are read. */
async function withCorpora(given: Record<string, unknown>, session: Session): Promise<Record<string, unknown>> {
  const reading = Object.keys(corpusOptionsOf(given as CorpusOptions));
  const options = Object.fromEntries(Object.entries(given).filter(([name]) => !reading.includes(name)));
  const { corpus, model, revision } = given as { corpus?: unknown; model: string; revision?: string };
  const paths = typeof corpus === 'string' ? [corpus] : corpus;
  if (reading.length === 0 || !Array.isArray(paths) || !paths.every((path) => typeof path === 'string')) return options;
  const { signal, onProgress } = session;
  const directory = await resolveModel(model, { revision, signal, onProgress });
  const opening = { ...session, countTokens: tokenCounter(directory, signal) };
  const corpora: Corpus[] = [];
  for (const path of paths) corpora.push(await corpusOf(path, given, opening));
  if (corpora.length === 1) return { ...options, corpus: corpora[0] };
  const sources = settleSources(options as unknown as SourceOptions);
  const lists = sources.map((source, i) => ({ ...source, corpus: corpora[i]! }));
  return { ...options, lists, dev: undefined, corpus: undefined };
}

/** Tells what a run says of itself; how it plans its memory only to those who want every detail. */
export function tellEvent(event: TrainingEvent, { say, detail }: Session): void {
  const tell = event.kind === 'plan' ? detail : say;
  tell(describeEvent(event), event);
}

function describeEvent(event: TrainingEvent): string {
  if (event.kind === 'finished') return 'training: the same run was finished before; this is its result';
  if (event.kind === 'anew') return `training: starts anew, for the unfinished run is another one: ${event.reason}`;
  if (event.kind === 'plan') return `training: from step ${event.step} on ${describePlan(event.plan)}`;
  if (event.kind === 'shortage') {
    return `training: memory ran out in step ${event.step}; from here on micro-batches of ${event.tokenBudget} tokens`;
  }
  return `training: goes on after step ${event.step}${event.note ? `; ${event.note}` : ''}`;
}

function readable(result: TrainingResult): string {
  const { steps, stopped, seconds, base, best, directory, teacherTemperature, lists } = result;
  const loss = (record: { loss: number } | undefined) => record?.loss.toFixed(4);
  const human = (record: TrainingResult['best']) => record?.human?.['nDCG@10'].toFixed(4);
  const sets = lists.sets?.map(({ name, train }) => `${name} ${train}`).join(', ');
  return [
    `${lists.train} lists${sets ? ` (${sets})` : ''} of ${lists.listLength} passages, ${steps} steps in ${duration(seconds)} (stopped: ${stopped})`,
    `teacher temperature: ${Number(teacherTemperature.toPrecision(4))}`,
    ...(best ? [`dev loss: ${loss(base)} before, ${loss(best)} after ${best.step} steps`] : []),
    ...(best?.human ? [`dev nDCG@10: ${human(base)} before, ${human(best)} after ${best.step} steps`] : []),
    `model: ${directory}`,
  ].join('\n');
}

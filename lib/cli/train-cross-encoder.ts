import { duration } from '../progress.js';
import type { CrossEncoderTrainingOptions } from '../training/cross-encoder-options.js';
import type { EarlierRun, TrainingEvent } from '../training/run-start.js';
import type { CrossEncoderTrainingResult } from '../training/train-cross-encoder.js';
import { type CommandSpec, grouped, type OptionSpec } from './command.js';
import { corpusReadingOptions } from './corpus-options.js';
import { loadingOptions } from './model-options.js';
import { agree, listInputs, runOptions, tellEvent, withCorpora, yesSwitch } from './train.js';

const ownOptions: readonly OptionSpec[] = [
  {
    name: 'loss',
    kind: 'text',
    choices: ['listwise', 'bce'],
    help: 'softmax cross-entropy over each list, or binary cross-entropy of each pair (default: listwise)',
  },
  {
    name: 'labels',
    kind: 'text',
    choices: ['first', 'scores'],
    help: "what is relevant: each list's first passage, or what the scores say (default: first)",
  },
  { name: 'maxLength', kind: 'whole', value: 'tokens', help: "longest pair (default: 512, or the model's most)" },
];

/** Where defaults are others than trainListwise's. */
const DEFAULTS: Readonly<Record<string, string>> = {
  epochs: 'most rounds over the lists (default: 5)',
  batchSize: 'queries in a step, each with its whole list (default: 16)',
  learningRate: 'highest learning rate (default: 3e-5)',
};

export const trainCrossEncoderCommand: CommandSpec = {
  name: 'train-cross-encoder',
  summary: 'train a cross-encoder on labelled lists: a teacher or reranker of your own',
  description:
    'Trains a cross-encoder on lists as `lists` and `train` know them. --model is a cross-encoder, or an encoder such as ' +
    'an embedding model, which gets a new classification head.\n\n' +
    'Writes into --output what `train` writes: model/ (the weights of the lowest loss on --dev, else the last), ' +
    'log.jsonl and training.json. A run that was stopped goes on from its last checkpoint when it is started again with ' +
    "the same options; where --output holds another run, you are asked before it is lost. model/ opens in sentence-transformers' CrossEncoder, and is a teacher: --teacher " +
    'cross-encoder:<output>/model.',
  options: [
    ...grouped('Inputs', [
      {
        name: 'model',
        kind: 'text',
        value: 'model',
        required: true,
        help: 'an encoder or a cross-encoder: a directory, or a Hub name "owner/name"',
      },
      ...listInputs,
    ]),
    ...grouped('Corpus', corpusReadingOptions),
    ...grouped('Training', [
      ...ownOptions,
      ...runOptions.map((option) => ({ ...option, help: DEFAULTS[option.name] ?? option.help })),
    ]),
    ...grouped(
      'Model',
      loadingOptions.filter(({ name }) => ['device', 'precision', 'revision'].includes(name)),
    ),
    ...grouped('Output', [
      { name: 'output', kind: 'text', value: 'directory', required: true, help: 'where results go' },
    ]),
  ],
  examples: [
    {
      line: 'train-cross-encoder --model sentence-transformers/all-MiniLM-L6-v2 --lists lists/lists.train.jsonl --dev lists/lists.dev.jsonl --labels scores --corpus scifact --output runs/teacher',
      purpose: 'from an embedding model, on lists that `lists` made',
    },
    {
      line: 'train-cross-encoder --model cross-encoder/ms-marco-MiniLM-L6-v2 --lists lists.jsonl --loss bce --max-length 256 --output runs/teacher',
      purpose: 'a cross-encoder further, on lists whose first passage is the positive',
    },
  ],
  switches: [yesSwitch],
  async run({ yes, ...all }, session) {
    const { signal, onProgress } = session;
    const options = await withCorpora(all, session);
    const { trainCrossEncoder } = await import('../training/train-cross-encoder.js');
    const result = await trainCrossEncoder({
      ...(options as unknown as CrossEncoderTrainingOptions),
      ...{ signal, onProgress, onEvent: (event: TrainingEvent) => tellEvent(event, session) },
      onReplace: (earlier: EarlierRun) => yes === true || agree(earlier, session),
    });
    return { json: result, text: readable(result) };
  },
};

const UNTRAINED =
  'The loss on dev never fell, so these are the weights that it began with (of an encoder with a new head: chance). Try ' +
  'another --learning-rate or --warmup-steps, or more lists.';

function readable({ steps, stopped, seconds, base, best, directory, lists }: CrossEncoderTrainingResult): string {
  const sets = lists.sets?.map(({ name, train }) => `${name} ${train}`).join(', ');
  const counts = `${lists.train} lists${sets ? ` (${sets})` : ''} of ${lists.listLength} passages`;
  return [
    `${counts}, ${steps} steps in ${duration(seconds)} (stopped: ${stopped})`,
    ...(best ? [`dev loss: ${base?.loss.toFixed(4)} before, ${best.loss.toFixed(4)} after ${best.step} steps`] : []),
    ...(best?.step === 0 ? [UNTRAINED] : []),
    `model: ${directory}`,
  ].join('\n');
}

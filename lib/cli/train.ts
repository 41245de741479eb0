import { type Corpus, type CorpusOptions, corpusOptionsOf } from '../corpus/corpus.js';
import { ListwiseError } from '../errors.js';
import { resolveModel } from '../models/hub.js';
import { tokenCounter } from '../models/token-counter.js';
import { rejectIdleOptions } from '../option-names.js';
import { duration } from '../progress.js';
import { DEV_DATA_NEED, TEMPERATURE_NEED, type TrainingOptions } from '../training/options.js';
import { describePlan } from '../training/planner.js';
import type { TrainingResult } from '../training/result.js';
import { runOptionNames } from '../training/run-options.js';
import type { EarlierRun, TrainingEvent } from '../training/run-start.js';
import { type SourceOptions, settleSources } from '../training/sources.js';
import { type CommandSpec, grouped, type OptionSpec, type Session } from './command.js';
import { CORPUS_HELP, corpusOf, corpusReadingOptions } from './corpus-options.js';
import { loadingOptions, modelOption } from './model-options.js';
import { trainingOptions } from './training-options.js';

/** What every training run takes, whatever it trains. */
export const runOptions: readonly OptionSpec[] = trainingOptions.filter(({ name }) => runOptionNames.includes(name));

/** Where lists and their passages come from. */
export const listInputs: readonly OptionSpec[] = [
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
];

export const yesSwitch: OptionSpec = {
  name: 'yes',
  kind: 'flag',
  help: 'agree to lose another run that is in --output',
};

export const trainCommand: CommandSpec = {
  name: 'train',
  summary: 'train a model on lists of passages with teacher scores',
  description:
    'Listwise distillation with a little InfoNCE, on lists that any tool may have written: JSON Lines of {"query": ..., ' +
    '"passages": [{"id" or "text": ..., "score": ...}, ...]}, the positive first, all lists of one length or cut by --list-length. --corpus is ' +
    'needed where lists name passages by id.\n\n' +
    'Writes into --output: model/ (the weights of the lowest loss on --dev, else the last), log.jsonl (each step and ' +
    'evaluation) and training.json (options and result). A run that was stopped goes on from its last checkpoint when it ' +
    'is started again with the same options; where --output holds another run, you are asked before it is lost.',
  options: [
    ...grouped('Inputs', [modelOption, ...listInputs]),
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
  switches: [yesSwitch],
  async run({ yes, ...all }, session) {
    const { signal, onProgress } = session;
    rejectIdleOptions<Partial<TrainingOptions>>(all, [DEV_DATA_NEED, TEMPERATURE_NEED]);
    const options = await withCorpora(all, session);
    const { trainListwise } = await import('../training/train.js');
    const onEvent = (event: TrainingEvent) => tellEvent(event, session);
    const onReplace = (earlier: EarlierRun) => yes === true || agree(earlier, session);
    const hearing = { signal, onProgress, onEvent, onReplace };
    const result = await trainListwise({ ...(options as unknown as TrainingOptions), ...hearing });
    return { json: result, text: readable(result) };
  },
};

/** Says what would be lost, and asks whether that is meant. */
export async function agree(earlier: EarlierRun, { ask }: Session): Promise<boolean> {
  const { describeEarlierRun } = await import('../training/run-start.js');
  const held = describeEarlierRun(earlier);
  const answer = await ask(`${held}\nThat run is lost if this one begins. Go on?`);
  if (answer !== undefined) return answer;
  throw new ListwiseError(
    'NOT_CONFIRMED',
    `${held}. Nothing was done. Add --yes to start anew in its place, or give its options, or another --output.`,
  );
}

/** The options of a training function, with corpora loaded where options beside them say how they are read. */
export async function withCorpora(given: Record<string, unknown>, session: Session): Promise<Record<string, unknown>> {
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
  if (event.kind === 'anew') return `training: starts anew in the place of another run: ${event.reason}`;
  if (event.kind === 'labels') {
    return (
      `training: ${event.judged} of ${event.lists} lists of ${event.source} have scores like judgements, by which more ` +
      'passages than the first are relevant; these are negatives now. If scores say what is relevant, stop and give ' +
      '--labels scores'
    );
  }
  if (event.kind === 'broken') {
    const { step, problem, directory, next } = event;
    const consequence = next === undefined ? 'starts from the beginning' : `goes on after step ${next} instead`;
    return `training: the checkpoint of step ${step} cannot be used (${directory}: ${problem}); ${consequence}`;
  }
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

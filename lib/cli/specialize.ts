import { duration } from '../progress.js';
import type { SpecializeOptions } from '../specialize/options.js';
import type { Specialization } from '../specialize/specialize.js';
import { STAGES } from '../specialize/stages.js';
import { type CommandSpec, EXIT, grouped, type OptionSpec, type Outcome } from './command.js';
import { CORPUS_HELP, corpusReadingOptions, leavingOutOptions } from './corpus-options.js';
import { llmOptions, whenSpentOption, writingOptions } from './llm-options.js';
import { loadingOptions, modelOption } from './model-options.js';
import { runListeners, runSwitches, runValues, withTeacherTold } from './run-session.js';
import { teacherOption } from './teacher-option.js';
import { trainingOptions } from './training-options.js';

/** Which passages and queries take part. */
export const corpusOptions: readonly OptionSpec[] = [
  ...leavingOutOptions,
  { name: 'excludeJudged', kind: 'flag', help: 'leave out passages that the test set judges' },
  {
    name: 'maxPassages',
    kind: 'whole',
    value: 'count',
    help: 'most passages whose queries are used (default: 100000)',
  },
];

export const candidateOptions: readonly OptionSpec[] = [
  teacherOption,
  {
    name: 'retrievers',
    kind: 'texts',
    value: 'name',
    help: 'who finds candidates: dense, bm25, model:<embedder>, run:<TREC file>, lancedb:<table>, lancedb-text:<table> (default: dense)',
  },
  { name: 'embeddingsType', kind: 'text', choices: ['fp32', 'bf16'], help: 'of passages in files (default: fp32)' },
  { name: 'depth', kind: 'whole', value: 'passages', help: 'candidates per retriever and query (default: 100)' },
  {
    name: 'maxSourceRank',
    kind: 'whole',
    value: 'rank',
    help: "lowest rank of a query's source passage (default: 20)",
  },
  { name: 'minCandidates', kind: 'whole', value: 'count', help: 'queries with fewer are dropped (default: 20)' },
  { name: 'rrfK', kind: 'number', value: 'number', help: 'of reciprocal rank fusion (default: 60)' },
  { name: 'denseWeight', kind: 'number', value: 'weight', help: 'of the fused teacher (default: 0.7)' },
  { name: 'bm25Weight', kind: 'number', value: 'weight', help: 'of the fused teacher (default: 0.3)' },
  { name: 'bm25K1', kind: 'number', value: 'number', help: 'saturation of term frequency (default: 1.2)' },
  { name: 'bm25B', kind: 'number', value: 'share', help: 'of length normalisation (default: 0.75)' },
  { name: 'bm25Delta', kind: 'number', value: 'number', help: 'of BM25+ (default: 0, plain BM25)' },
  {
    name: 'bm25Analysis',
    kind: 'text',
    choices: ['english', 'none'],
    help: 'how text becomes terms (default: english)',
  },
];

export const listOptions: readonly OptionSpec[] = [
  {
    name: 'listLength',
    kind: 'whole',
    value: 'passages',
    help: 'passages of a list, the source included (default: 20)',
  },
  { name: 'lowPercentile', kind: 'number', value: 'percent', help: 'of teacher scores, becomes 0 (default: 1)' },
  { name: 'keepPercentile', kind: 'number', value: 'percent', help: 'queries with a lower top score go (default: 25)' },
  { name: 'highPercentile', kind: 'number', value: 'percent', help: 'of teacher scores, becomes 1 (default: 99)' },
  {
    name: 'nearDuplicateThreshold',
    kind: 'number',
    value: 'share',
    help: 'candidates that share this much of their three-word sequences with the positive are taken out, such as 0.8 (default: none are)',
  },
  { name: 'devShare', kind: 'number', value: 'share', help: 'of the lists, for early stopping (default: 0.1)' },
];

export const evaluationOptions: readonly OptionSpec[] = [
  { name: 'data', kind: 'text', value: 'directory', help: 'test set of human queries, in the layout of BEIR' },
  { name: 'split', kind: 'text', value: 'name', help: 'which judgements of --data (default: test)' },
  { name: 'measures', kind: 'texts', value: 'name', help: 'the first decides (default: nDCG@10 R@100 RR@10 AP P@10)' },
  { name: 'by', kind: 'text', value: 'field', help: 'break the result down by this field of the test queries' },
  { name: 'k', kind: 'whole', value: 'passages', help: 'how deep to search in evaluation (default: 1000)' },
  { name: 'resamples', kind: 'whole', value: 'count', help: 'of the tests (default: 10000)' },
  { name: 'significance', kind: 'number', value: 'p', help: 'a smaller p counts as significant (default: 0.05)' },
];

const gateOptions: readonly OptionSpec[] = [
  {
    name: 'significanceTest',
    kind: 'text',
    choices: ['randomization', 't-test', 'bootstrap'],
    help: 'the paired test that decides (default: randomization)',
  },
  { name: 'guards', kind: 'texts', value: 'directory', help: 'test sets of other kinds that must not suffer' },
  {
    name: 'guardLoss',
    kind: 'number',
    value: 'difference',
    help: 'most that the first measure may fall there (default: 0.01)',
  },
  {
    name: 'mixingShares',
    kind: 'numbers',
    value: 'share',
    help: 'of the trained weights, in mixtures to try if it fails (default: 0.25 0.5 0.75)',
  },
];

export const specializeCommand: CommandSpec = {
  name: 'specialize',
  summary: 'make a model better at searching a corpus: everything in one go',
  description:
    'From a corpus, a model and queries written for passages of the corpus to a better model: finds candidates for each ' +
    'query, has a teacher score them, trains on the lists, and compares the trained model with the base on the test ' +
    "set's human queries (without --data on held-out written ones, which says less). A gate then puts the trained model " +
    'into model/ if it is better by the test, and loses no more than allowed on --guards; else it puts the base there, ' +
    'says so, ends with exit code 3, and offers the best mixture of both weights.\n\n' +
    '--output is a run directory. What is complete there with the same options is not done again, so a stopped run ' +
    'goes on where it was. Written queries are JSON Lines of {"passage": id, "type", "query"}; with --llm-model a language ' +
    'model writes them, or more of them.',
  options: [
    ...grouped('Inputs', [
      {
        name: 'corpus',
        kind: 'text',
        value: 'path',
        required: true,
        orApiValue: 'array',
        help: CORPUS_HELP,
      },
      modelOption,
      {
        name: 'queries',
        kind: 'text',
        value: 'file',
        help: 'queries written for passages; a language model may write them',
      },
      {
        name: 'humanQueries',
        kind: 'text',
        value: 'directory',
        help: "people's queries with judgements, in the layout of BEIR, to train on, alone or beside --queries",
      },
      { name: 'humanSplit', kind: 'text', value: 'name', help: 'which judgements of --human-queries (default: train)' },
      ...corpusOptions,
    ]),
    ...grouped('Corpus', corpusReadingOptions),
    ...grouped('Queries by a language model', [...writingOptions, ...llmOptions, whenSpentOption]),
    ...grouped('Candidates and teacher', candidateOptions),
    ...grouped('Lists', listOptions),
    ...grouped('Training', trainingOptions),
    ...grouped('Evaluation', evaluationOptions),
    ...grouped('Gate', gateOptions),
    ...grouped('Model', loadingOptions),
    ...grouped('Output', [
      { name: 'output', kind: 'text', value: 'directory', required: true, help: 'run directory' },
      { name: 'until', kind: 'text', choices: STAGES, help: 'stop after this stage (default: promotion)' },
    ]),
  ],
  examples: [
    {
      line: 'specialize --corpus examples/cranfield --model sentence-transformers/all-MiniLM-L6-v2 --queries examples/cranfield/written-queries.jsonl --data examples/cranfield --output runs/cranfield',
      purpose: 'the corpus of the quickstart, tested on its human queries',
    },
    {
      line: 'specialize --corpus my-corpus --model BAAI/bge-base-en-v1.5 --llm-base-url http://localhost:8000/v1 --llm-model Qwen/Qwen3-8B --data my-test-set --output runs/mine',
      purpose: 'queries written by a model on a server of your own',
    },
    {
      line: 'specialize --config mine.json --until lists',
      purpose: 'options from a file; look at the lists before training',
    },
  ],
  switches: runSwitches,
  async run(options, session) {
    const { dryRun, yes, ...given } = options;
    const choices = { ...given, ...(await runValues(options, session)) } as unknown as SpecializeOptions;
    if (dryRun) return planned(choices);
    const { specialize } = await import('../specialize/specialize.js');
    const result = await withTeacherTold(specialize({ ...choices, ...runListeners(session, yes === true) }), session);
    const exitCode = result.promotion?.promoted === false ? EXIT.notPromoted : EXIT.ok;
    return { json: result, text: await readable(result), exitCode };
  },
};

async function planned(options: SpecializeOptions): Promise<Outcome> {
  const { planSpecialization } = await import('../specialize/plan.js');
  const { describePlan } = await import('./plan-text.js');
  const plan = await planSpecialization(options);
  return { json: plan, text: describePlan(plan) };
}

async function readable(result: Specialization): Promise<string> {
  const { directory, model, trained, evaluation, promotion, report, seconds } = result;
  const lines = [`run directory: ${directory} (${duration(seconds)})`];
  if (evaluation) {
    const { formatComparison } = await import('../evaluation/table.js');
    lines.unshift(formatComparison(evaluation.comparison, { width: process.stdout.columns || 100 }));
  }
  if (promotion) lines.push(promotion.text);
  if (report) lines.push(`report: ${report}`);
  if (trained) lines.push(`trained: ${trained}`);
  if (model) lines.push(`model: ${model}${promotion?.promoted ? '' : ' (the base)'}`);
  return lines.join('\n');
}

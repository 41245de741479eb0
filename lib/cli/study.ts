import { duration } from '../progress.js';
import type { StudyOptions } from '../study/options.js';
import type { Study } from '../study/study.js';
import { type CommandSpec, grouped, type OptionSpec, type Outcome } from './command.js';
import { llmOptions, whenSpentOption, writingOptions } from './llm-options.js';
import { loadingOptions } from './model-options.js';
import { describePlan } from './plan-text.js';
import { runListeners, runSwitches, runValues, withTeacherTold } from './run-session.js';
import { candidateOptions, evaluationOptions, listOptions, specializeCommand } from './specialize.js';
import { trainingOptions } from './training-options.js';

const variantOptions: readonly OptionSpec[] = [
  {
    name: 'variants',
    kind: 'texts',
    value: 'name',
    help: 'variants (infonce, listwise, both, only-<type>, mixed, human, written, human-and-written) or tables (losses, types, sources) to do (default: all)',
  },
  {
    name: 'seeds',
    kind: 'numbers',
    value: 'number',
    help: 'train each variant once with each of these (default: that of --seed)',
  },
  {
    name: 'listsPerType',
    kind: 'whole',
    value: 'count',
    help: 'lists to train on where types are compared (default: as many as the type with the fewest has)',
  },
  { name: 'devLists', kind: 'whole', value: 'count', help: 'most dev lists of a variant (default: all)' },
  {
    name: 'equalWithin',
    kind: 'number',
    value: 'difference',
    help: 'most that written queries may lose to count as about as good (default: 0.02)',
  },
];

/** What the study has another word for, or no use for. */
const measureOptions = evaluationOptions
  .filter(({ name }) => name !== 'by')
  .map((option): OptionSpec => {
    if (option.name === 'measures')
      return { ...option, help: 'the first decides the findings (default: nDCG@10 R@100)' };
    if (option.name === 'data') return { ...option, required: true };
    return option;
  });

export const studyCommand: CommandSpec = {
  name: 'study',
  summary: "see which of the papers' findings hold on your corpus",
  description:
    'Trains the variants that the papers compare on one set of queries, and compares each with the base on the test set: ' +
    'InfoNCE only, listwise only, both (losses); each type of query alone and all mixed, at equal numbers of lists (types); ' +
    "written and people's queries, with --human-queries (sources). Prints the tables, writes them to study.json, study.md " +
    "and study.html, and says by fixed rules which of the papers' findings show.\n\n" +
    '--output is a run directory as specialize has it, and shares the stages before training with it. What is complete ' +
    'there with the same options is not done again, so a stopped study goes on where it was, and more variants or seeds ' +
    'can be added later. Each variant is a full training: --dry-run says how long all of it takes.',
  options: [
    ...specializeCommand.options.filter(({ group }) => group === 'Inputs' || group === 'Corpus'),
    ...grouped('Queries by a language model', [...writingOptions, ...llmOptions, whenSpentOption]),
    ...grouped('Candidates and teacher', candidateOptions),
    ...grouped('Lists', listOptions),
    ...grouped('Variants', variantOptions),
    ...grouped('Training', trainingOptions),
    ...grouped('Evaluation', measureOptions),
    ...grouped('Model', loadingOptions),
    ...grouped('Output', [{ name: 'output', kind: 'text', value: 'directory', required: true, help: 'run directory' }]),
  ],
  examples: [
    {
      line: 'study --corpus my-corpus --model BAAI/bge-small-en-v1.5 --queries written-queries.jsonl --human-queries my-corpus --data my-corpus --output runs/study --dry-run',
      purpose: 'what would be done, and about how long it takes',
    },
    {
      line: 'study --config mine.yaml --output runs/study --variants losses --passage-max-length 128 --batch-size 64 --batching clustered --max-steps 20 --warmup-steps 2',
      purpose: 'one comparison, in little time',
    },
    { line: 'study --config mine.yaml --output runs/study --seeds 1 2 3', purpose: 'with the spread over seeds' },
  ],
  switches: runSwitches,
  async run(options, session) {
    const { dryRun, yes, ...given } = options;
    const choices = { ...given, ...(await runValues(options, session)) } as unknown as StudyOptions;
    if (dryRun) return planned(choices);
    const { study } = await import('../study/study.js');
    const result = await withTeacherTold(study({ ...choices, ...runListeners(session, yes === true) }), session);
    return { json: result, text: await readable(result) };
  },
};

async function planned(options: StudyOptions): Promise<Outcome> {
  const { planStudy } = await import('../study/plan.js');
  const plan = await planStudy(options);
  return { json: plan, text: describePlan(plan) };
}

async function readable(result: Study): Promise<string> {
  const { formatStudy } = await import('../study/table.js');
  const table = formatStudy(result, { width: process.stdout.columns || 100 });
  return `${table}\nreport: ${result.report}\nrun directory: ${result.directory} (${duration(result.seconds)})`;
}

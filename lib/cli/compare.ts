import { stat } from 'node:fs/promises';
import type { Reranking } from '../evaluation/reranking.js';
import type { System } from '../evaluation/systems.js';
import { type CommandSpec, pick, UsageError } from './command.js';
import { lengthOption, loadingOptions, loadingOptionsOf, rerankOptions } from './model-options.js';

export const compareCommand: CommandSpec = {
  name: 'compare',
  summary: 'compare models or runs, query by query, with tests',
  description:
    'Compares systems with a base over all judged queries: means, the difference with its interval by the paired ' +
    'bootstrap, paired randomisation test, t-test and bootstrap test, corrected by Holm over all sets, measures and ' +
    "systems, and the queries that gained and lost most with what stood first. A system is a run file in TREC's layout, or a model, which is run on --data.",
  options: [
    {
      name: 'base',
      kind: 'text',
      value: 'system',
      required: true,
      orApiValue: 'object',
      help: 'run file or model to compare with',
    },
    {
      name: 'others',
      kind: 'texts',
      value: 'system',
      orApiValue: 'array',
      help: 'run files or models to compare; needed unless --rerank is given',
    },
    {
      ...rerankOptions[0]!,
      kind: 'texts',
      help: "cross-encoders: compares the base's ranking reranked by each, too; needs --data",
    },
    ...rerankOptions.slice(1),
    {
      name: 'data',
      kind: 'texts',
      value: 'directory',
      orApiValue: 'string or array',
      help: 'one test collection or more, in the layout of BEIR',
    },
    { name: 'qrels', kind: 'text', value: 'file', help: 'judgements alone, which will do for run files' },
    { name: 'split', kind: 'text', value: 'name', help: 'which judgements of --data (default: test)' },
    {
      name: 'measures',
      kind: 'texts',
      value: 'name',
      help: "ir_measures' names (default: nDCG@10 R@100 RR@10 AP P@10)",
    },
    {
      name: 'relevanceLevel',
      kind: 'whole',
      value: 'grade',
      help: 'lowest grade that counts as relevant (default: 1)',
    },
    { name: 'judgedOnly', kind: 'flag', help: 'leave passages without judgement out of the rankings' },
    { name: 'by', kind: 'text', value: 'field', help: 'break down by this field of the queries, such as type' },
    { name: 'resamples', kind: 'whole', value: 'count', help: 'of bootstrap and randomisation test (default: 10000)' },
    { name: 'seed', kind: 'whole', value: 'number', help: 'of both (default: 1)' },
    { name: 'confidence', kind: 'number', value: 'share', help: 'of the interval (default: 0.95)' },
    {
      name: 'examples',
      kind: 'whole',
      value: 'count',
      help: 'changed queries to name (default: 5 in JSON, 3 in text)',
    },
    { name: 'k', kind: 'whole', value: 'passages', help: 'how deep models search (default: 1000)' },
    lengthOption,
    ...loadingOptions,
  ],
  examples: [
    {
      line: 'compare --base sentence-transformers/all-MiniLM-L6-v2 --others runs/cranfield/training/model --data cranfield',
      purpose: 'did the training help?',
    },
    {
      line: 'compare --base base.trec --others trained.trec bm25.trec --qrels qrels/test.tsv --measures nDCG@10',
      purpose: 'runs that other tools wrote',
    },
    {
      line: 'compare --base BAAI/bge-base-en-v1.5 --others runs/mine/model --data mine scifact nfcorpus --measures nDCG@10',
      purpose: 'on several test sets: did it forget anything?',
    },
    {
      line: 'compare --base sentence-transformers/all-MiniLM-L6-v2 --rerank runs/teacher/model --data scifact --measures nDCG@10',
      purpose: 'what does reranking give?',
    },
  ],
  async run(options, { signal, onProgress }) {
    const { compare } = await import('../evaluation/compare.js');
    const { formatComparison } = await import('../evaluation/table.js');
    const names = [
      'base',
      'others',
      'data',
      'qrels',
      'split',
      'measures',
      'by',
      'relevanceLevel',
      'judgedOnly',
    ] as const;
    const numbers = ['resamples', 'seed', 'confidence', 'examples', 'k', 'maxLength'] as const;
    const comparison = await compare({
      ...pick<Parameters<typeof compare>[0]>(options, [...names, ...numbers]),
      others: await othersOf(options),
      modelOptions: loadingOptionsOf(options),
      signal,
      onProgress,
    });
    const width = process.stdout.columns || 100;
    const examples = typeof options.examples === 'number' ? options.examples : 3;
    return { json: comparison, text: formatComparison(comparison, { width, examples }) };
  },
};

/** The systems that --others names, and the base reranked by each cross-encoder of --rerank. */
async function othersOf(options: Record<string, unknown>): Promise<System[]> {
  const { base, others = [], rerank = [], rerankDepth, rerankMaxLength } = options;
  const scorers = [rerank].flat() as string[];
  if (scorers.length === 0) {
    if (rerankDepth !== undefined || rerankMaxLength !== undefined) {
      throw new UsageError('--rerank-depth and --rerank-max-length go with --rerank.');
    }
    if (options['others'] === undefined) throw new UsageError('compare needs --others, --rerank, or both.');
    return others as System[];
  }
  const twice = scorers.find((scorer, i) => scorers.indexOf(scorer) < i);
  if (twice !== undefined) throw new UsageError(`--rerank names ${twice} twice; give each cross-encoder once.`);
  if (typeof base !== 'string') throw new UsageError('--rerank reranks a --base that is the name of a model or run.');
  const isFile = await stat(base).then(
    (found) => found.isFile(),
    () => false,
  );
  const own = isFile ? { run: base } : { model: base };
  const reranked = scorers.map((scorer) => ({
    ...own,
    ...{ name: `${base} + ${scorer}`, rerank: scorer },
    ...pick<Reranking>(options, ['rerankDepth', 'rerankMaxLength']),
  }));
  return [...(others as System[]), ...reranked];
}

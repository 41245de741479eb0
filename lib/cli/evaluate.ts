import type { TestSet } from '../evaluation/collection.js';
import type { SetEvaluation } from '../evaluation/evaluate.js';
import { type CommandSpec, type Outcome, pick, UsageError } from './command.js';
import { lengthOption, loadingOptions, loadingOptionsOf, modelOption, rerankOptions } from './model-options.js';

export const evaluateCommand: CommandSpec = {
  name: 'evaluate',
  summary: 'measure how well a model searches a test collection',
  description:
    "Encodes a test collection's corpus and queries, searches exactly, and scores the result against the judgements " +
    'with the definitions of trec_eval. The collection is a directory in the layout of BEIR: corpus.jsonl, ' +
    'queries.jsonl and qrels/<split>.tsv.\n\n' +
    'With --json: {"nDCG@10": ..., "R@100": ..., ..., "measures": {the same, to go through}, "queries", "passages", ' +
    '"seconds", "model", "data", "split"}, with the means under the names of ' +
    'ir_measures. With several --data: {"sets": [{"name", "measures", ...}], "mean"}. With --rerank these are of the ' +
    'reranked ranking, and "retrieved" has the means before.',
  options: [
    modelOption,
    {
      name: 'data',
      kind: 'texts',
      value: 'directory',
      required: true,
      orApiValue: 'string or array',
      help: 'one test collection or more, in the layout of BEIR',
    },
    { name: 'split', kind: 'text', value: 'name', help: 'which judgements: qrels/<name>.tsv (default: test)' },
    {
      name: 'measures',
      kind: 'texts',
      value: 'name',
      help: "ir_measures' names, such as nDCG@10 R@100 AP (default: nDCG@10 R@100 RR@10 AP P@10)",
    },
    {
      name: 'relevanceLevel',
      kind: 'whole',
      value: 'grade',
      help: 'lowest grade that counts as relevant (default: 1)',
    },
    { name: 'judgedOnly', kind: 'flag', help: 'leave passages without judgement out of the ranking' },
    { name: 'k', kind: 'whole', value: 'passages', help: 'how deep to search for each query (default: 1000)' },
    lengthOption,
    ...rerankOptions,
    { name: 'saveRun', kind: 'text', value: 'file', help: "also write the ranking, in TREC's layout, for `compare`" },
    {
      name: 'saveRetrieved',
      kind: 'text',
      value: 'file',
      help: 'with --rerank: also write the ranking as it was before',
    },
    ...loadingOptions,
  ],
  examples: [
    {
      line: 'evaluate --model sentence-transformers/all-MiniLM-L6-v2 --data scifact --max-length 256',
      purpose: 'a model from the Hub on the directory scifact',
    },
    {
      line: 'evaluate --model runs/cranfield/model --data cranfield --json | jq \'."nDCG@10"\'',
      purpose: 'one number for a script',
    },
    {
      line: 'evaluate --model sentence-transformers/all-MiniLM-L6-v2 --rerank runs/teacher/model --data scifact --save-run reranked.trec --save-retrieved retrieved.trec',
      purpose: 'a cross-encoder puts the 100 best passages in order',
    },
  ],
  async run(options, { signal, onProgress }) {
    const { evaluateSets } = await import('../evaluation/evaluate.js');
    const { model, split = 'test' } = options as Record<string, string>;
    const data = [options['data']].flat() as TestSet[];
    checkSaving(options, data.length);
    const results = await evaluateSets({
      ...pick(options, ['measures', 'relevanceLevel', 'judgedOnly', 'k', 'maxLength', ...RERANK_NAMES]),
      model: model as string,
      data,
      split,
      modelOptions: loadingOptionsOf(options),
      signal,
      onProgress,
    });
    const [first] = results as [SetEvaluation];
    const saved = await saveRuns(first, options, signal);
    if (results.length > 1) return several(results, { model: model as string, split });
    const { measures, retrieved, queries, passages, seconds } = first;
    const before = retrieved && { retrieved: { measures: retrieved.measures } };
    const facts = { queries, passages, seconds, model, data: first.name, split };
    const json = { ...measures, measures, ...before, ...facts, ...saved };
    const columns: Record<string, Record<string, number>> = retrieved
      ? { retrieved: retrieved.measures, reranked: measures }
      : { '': measures };
    const text = table(columns, `${queries} queries, ${passages} passages, ${seconds.toFixed(1)} s`);
    return { json, text };
  },
};

const RERANK_NAMES = ['rerank', 'rerankDepth', 'rerankMaxLength'] as const;

function checkSaving({ saveRun, saveRetrieved, rerank }: Record<string, unknown>, sets: number): void {
  if (saveRetrieved !== undefined && rerank === undefined) {
    throw new UsageError('--save-retrieved goes with --rerank; --save-run writes the one ranking there is.');
  }
  if (sets === 1) return;
  for (const [flag, file] of Object.entries({ '--save-run': saveRun, '--save-retrieved': saveRetrieved })) {
    if (file !== undefined) throw new UsageError(`${flag} takes one ranking: give one --data.`);
  }
}

/** Writes the rankings that are asked for, and says where they are. */
async function saveRuns(
  { run, retrieved }: SetEvaluation,
  { saveRun, saveRetrieved }: Record<string, unknown>,
  signal: AbortSignal,
): Promise<{ run?: string; retrievedRun?: string }> {
  const { writeTrecRun } = await import('../formats/trec.js');
  const files: { run?: string; retrievedRun?: string } = {};
  if (typeof saveRun === 'string') {
    await writeTrecRun(saveRun, run, { signal });
    files.run = saveRun;
  }
  if (typeof saveRetrieved === 'string' && retrieved) {
    await writeTrecRun(saveRetrieved, retrieved.run, { signal });
    files.retrievedRun = saveRetrieved;
  }
  return files;
}

interface Row {
  name: string;
  measures: Record<string, number>;
}

/** A row a set (two where it was reranked), a column a measure, and their plain means. */
function several(results: readonly SetEvaluation[], facts: { model: string; split: string }): Outcome {
  const reranked: Row[] = results.map(({ name, measures }) => ({ name, measures }));
  const before: Row[] = results.flatMap(({ name, retrieved }) =>
    retrieved ? [{ name, measures: retrieved.measures }] : [],
  );
  const sets = results.map(({ run: _, perQuery: __, retrieved, ...rest }) => ({
    ...rest,
    ...(retrieved && { retrieved: { measures: retrieved.measures } }),
  }));
  const json = {
    ...{ ...facts, mean: meanOf(reranked), sets },
    ...(before.length > 0 && { retrieved: { mean: meanOf(before) } }),
  };
  const withMean = (rows: readonly Row[]) => [...rows, { name: 'mean', measures: meanOf(rows) }];
  const named = (rows: readonly Row[], what: string) =>
    withMean(rows).map(({ name, measures }) => ({ name: `${name}, ${what}`, measures }));
  const rows = before.length > 0 ? [...named(before, 'retrieved'), ...named(reranked, 'reranked')] : withMean(reranked);
  return { json, text: wideTable(rows) };
}

function meanOf(rows: readonly Row[]): Record<string, number> {
  const average = (name: string) => rows.reduce((sum, { measures }) => sum + measures[name]!, 0) / rows.length;
  return Object.fromEntries(Object.keys(rows[0]!.measures).map((name) => [name, average(name)]));
}

function wideTable(rows: readonly Row[]): string {
  const names = Object.keys(rows[0]!.measures);
  const width = Math.max(...rows.map(({ name }) => name.length));
  const cell = (text: string, name: string) => text.padStart(Math.max(name.length, 6));
  const line = (first: string, cells: string[]) => [first.padEnd(width), ...cells].join('  ').trimEnd();
  const heads = names.map((name) => cell(name, name));
  const numbers = rows.map(({ name, measures }) =>
    line(
      name,
      names.map((measure) => cell(measures[measure]!.toFixed(4), measure)),
    ),
  );
  return [line('', heads), ...numbers].join('\n');
}

/** A row a measure; a column alone has no head. */
function table(columns: Record<string, Record<string, number>>, facts: string): string {
  const heads = Object.keys(columns);
  const names = Object.keys(columns[heads[0]!]!);
  const width = Math.max(...names.map((name) => name.length));
  const line = (first: string, cells: string[]) =>
    [first.padEnd(width), ...cells.map((cell, i) => cell.padStart(Math.max(heads[i]!.length, 6)))].join('  ').trimEnd();
  const rows = names.map((name) =>
    line(
      name,
      Object.values(columns).map((measures) => measures[name]!.toFixed(4)),
    ),
  );
  return [...(heads.length > 1 ? [line('', heads)] : []), ...rows, facts].join('\n');
}

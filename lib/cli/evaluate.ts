import type { TestSet } from '../evaluation/collection.js';
import type { SetEvaluation } from '../evaluation/evaluate.js';
import { type CommandSpec, type Outcome, pick, UsageError } from './command.js';
import { lengthOption, loadingOptions, loadingOptionsOf, modelOption } from './model-options.js';

export const evaluateCommand: CommandSpec = {
  name: 'evaluate',
  summary: 'measure how well a model searches a test collection',
  description:
    "Encodes a test collection's corpus and queries, searches exactly, and scores the result against the judgements " +
    'with the definitions of trec_eval. The collection is a directory in the layout of BEIR: corpus.jsonl, ' +
    'queries.jsonl and qrels/<split>.tsv.\n\n' +
    'With --json: {"nDCG@10": ..., "R@100": ..., ..., "measures": {the same, to go through}, "queries", "passages", ' +
    '"seconds", "model", "data", "split"}, with the means under the names of ' +
    'ir_measures. With several --data: {"sets": [{"name", "measures", ...}], "mean"}.',
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
    { name: 'saveRun', kind: 'text', value: 'file', help: "also write the ranking, in TREC's layout, for `compare`" },
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
  ],
  async run(options, { signal, onProgress }) {
    const { evaluateSets } = await import('../evaluation/evaluate.js');
    const { model, split = 'test', saveRun } = options as Record<string, string>;
    const data = [options['data']].flat() as TestSet[];
    if (saveRun && data.length > 1) throw new UsageError('--save-run takes one ranking: give one --data.');
    const results = await evaluateSets({
      ...pick(options, ['measures', 'relevanceLevel', 'judgedOnly', 'k', 'maxLength']),
      model: model as string,
      data,
      split,
      modelOptions: loadingOptionsOf(options),
      signal,
      onProgress,
    });
    const [first] = results as [SetEvaluation];
    if (saveRun) {
      const { writeTrecRun } = await import('../formats/trec.js');
      await writeTrecRun(saveRun, first.run, { signal });
    }
    if (results.length > 1) return several(results, { model: model as string, split });
    const { measures, queries, passages, seconds } = first;
    const facts = { queries, passages, seconds, model, data: first.name, split };
    const json = { ...measures, measures, ...facts, ...(saveRun ? { run: saveRun } : {}) };
    return { json, text: table(measures, `${queries} queries, ${passages} passages, ${seconds.toFixed(1)} s`) };
  },
};

/** A row a set, a column a measure, and their plain mean. */
function several(results: readonly SetEvaluation[], facts: { model: string; split: string }): Outcome {
  const names = Object.keys(results[0]!.measures);
  const average = (name: string) => results.reduce((sum, { measures }) => sum + measures[name]!, 0) / results.length;
  const mean = Object.fromEntries(names.map((name) => [name, average(name)]));
  const json = { ...facts, mean, sets: results.map(({ run: _, perQuery: __, ...rest }) => rest) };
  const rows = [...results, { name: 'mean', measures: mean }];
  const width = Math.max(...rows.map(({ name }) => name.length));
  const cell = (text: string, name: string) => text.padStart(Math.max(name.length, 6));
  const line = (first: string, cells: string[]) => [first.padEnd(width), ...cells].join('  ').trimEnd();
  const text = [
    line(
      '',
      names.map((name) => cell(name, name)),
    ),
    ...rows.map(({ name, measures }) =>
      line(
        name,
        names.map((measure) => cell(measures[measure]!.toFixed(4), measure)),
      ),
    ),
  ].join('\n');
  return { json, text };
}

function table(measures: Record<string, number>, facts: string): string {
  const width = Math.max(...Object.keys(measures).map((name) => name.length));
  const rows = Object.entries(measures).map(([name, value]) => `${name.padEnd(width)}  ${value.toFixed(4)}`);
  return [...rows, facts].join('\n');
}

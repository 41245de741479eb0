import type { CommandSpec } from './command.js';
import { pick } from './command.js';
import { lengthOption, loadingOptions, loadingOptionsOf, modelOption } from './model-options.js';

export const evaluateCommand: CommandSpec = {
  name: 'evaluate',
  summary: 'measure how well a model searches a test collection',
  description:
    "Encodes a test collection's corpus and queries, searches exactly, and scores the result against the judgements " +
    'with the definitions of trec_eval. The collection is a directory in the layout of BEIR: corpus.jsonl, ' +
    'queries.jsonl and qrels/<split>.tsv.\n\n' +
    'With --json: {"nDCG@10": ..., "R@100": ..., ..., "measures": {the same, to go through}, "queries", "passages", ' +
    '"seconds", "model", "data", "split"}, with the means under the names of ir_measures.',
  options: [
    modelOption,
    { name: 'data', kind: 'text', value: 'directory', required: true, help: 'test collection in the layout of BEIR' },
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
    const { evaluate } = await import('../evaluation/evaluate.js');
    const { model, data, split = 'test', saveRun } = options as Record<string, string>;
    const result = await evaluate({
      ...pick(options, ['measures', 'relevanceLevel', 'judgedOnly', 'k', 'maxLength']),
      model: model as string,
      data: data as string,
      split,
      modelOptions: loadingOptionsOf(options),
      signal,
      onProgress,
    });
    if (saveRun) {
      const { writeTrecRun } = await import('../formats/trec.js');
      await writeTrecRun(saveRun, result.run, { signal });
    }
    const { measures, queries, passages, seconds } = result;
    const json = {
      ...measures,
      measures,
      queries,
      passages,
      seconds,
      model,
      data,
      split,
      ...(saveRun ? { run: saveRun } : {}),
    };
    return { json, text: table(measures, `${queries} queries, ${passages} passages, ${seconds.toFixed(1)} s`) };
  },
};

function table(measures: Record<string, number>, facts: string): string {
  const width = Math.max(...Object.keys(measures).map((name) => name.length));
  const rows = Object.entries(measures).map(([name, value]) => `${name.padEnd(width)}  ${value.toFixed(4)}`);
  return [...rows, facts].join('\n');
}

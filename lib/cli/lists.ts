import type { Corpus, CorpusSource } from '../corpus/corpus.js';
import type { LabelledListOptions } from '../lists/labelled.js';
import { resolveModel } from '../models/hub.js';
import { tokenCounter } from '../models/token-counter.js';
import { type CommandSpec, grouped, pick, type Session } from './command.js';
import { CORPUS_HELP, corpusOf, corpusReadingOptions } from './corpus-options.js';
import { loadingOptions, loadingOptionsOf, modelOption } from './model-options.js';

export const listsCommand: CommandSpec = {
  name: 'lists',
  summary: 'make labelled lists to train a cross-encoder on',
  description:
    'For each query a list: the passages that people judged relevant, or the one that the query was written for, with ' +
    'score 1, then passages that an embedding model finds for it, drawn by chance from the best, with score 0. ' +
    'Queries come from a BEIR directory (--data), a file of written queries (--queries), or both.\n\n' +
    'Writes lists.train.jsonl, lists.dev.jsonl and dropped.jsonl into --output, for `train-cross-encoder --labels scores`.',
  options: [
    { name: 'corpus', kind: 'text', value: 'path', required: true, orApiValue: 'array', help: CORPUS_HELP },
    { name: 'data', kind: 'text', value: 'directory', help: 'judged queries, in the layout of BEIR' },
    { name: 'split', kind: 'text', value: 'name', help: 'which judgements: qrels/<name>.tsv (default: train)' },
    {
      name: 'queries',
      kind: 'texts',
      value: 'file',
      orApiValue: 'string or array',
      help: 'written queries: {"passage", "type", "query"} a line',
    },
    { ...modelOption, help: 'finds the negatives: an embedding model' },
    { name: 'listLength', kind: 'whole', value: 'passages', help: 'passages of a list (default: 20)' },
    { name: 'depth', kind: 'whole', value: 'passages', help: 'best ones to draw negatives from (default: 100)' },
    { name: 'devShare', kind: 'number', value: 'share', help: 'of the positives, for dev lists (default: 0.1)' },
    { name: 'seed', kind: 'whole', value: 'number', help: 'of everything random (default: 1)' },
    { name: 'output', kind: 'text', value: 'directory', required: true, help: 'where the lists go' },
    ...grouped('Corpus', corpusReadingOptions),
    ...grouped('Model', loadingOptions),
  ],
  examples: [
    {
      line: 'lists --corpus scifact --data scifact --model sentence-transformers/all-MiniLM-L6-v2 --list-length 8 --output lists',
      purpose: "of people's judgements in qrels/train.tsv",
    },
    {
      line: 'lists --corpus my-corpus --queries written-queries.jsonl --model BAAI/bge-base-en-v1.5 --output lists',
      purpose: 'of queries that a language model wrote',
    },
  ],
  async run(options, session) {
    const { writeLabelledLists } = await import('../lists/labelled.js');
    const { signal, onProgress } = session;
    const { corpus } = options;
    const names = ['data', 'split', 'queries', 'model', 'listLength', 'depth', 'devShare', 'seed', 'output'] as const;
    const result = await writeLabelledLists({
      ...pick<Omit<LabelledListOptions, 'corpus'>>(options, names),
      corpus: typeof corpus === 'string' ? await opened(corpus, options, session) : (corpus as CorpusSource),
      modelOptions: loadingOptionsOf(options),
      signal,
      onProgress,
    });
    const { lists, dev, train, devLists, dropped } = result;
    const files = [`${lists}: ${train} lists`, ...(dev ? [`${dev}: ${devLists} lists`] : [])];
    return { json: result, text: [...files, `${dropped} queries dropped`].join('\n') };
  },
};

/** The corpus, whose text files are split as the model counts tokens. */
async function opened(path: string, options: Record<string, unknown>, session: Session): Promise<Corpus> {
  const { model, revision } = options as { model: string; revision?: string };
  const { signal, onProgress } = session;
  const directory = await resolveModel(model, { revision, signal, onProgress });
  return corpusOf(path, options, { ...session, countTokens: tokenCounter(directory, signal) });
}

import { describeMistakes } from '../corpus/cleaning.js';
import type { BatchExport, BatchImport } from '../queries/batch.js';
import type { WriteQueriesOptions } from '../queries/write-queries.js';
import type { QueryWriting } from '../queries/writing.js';
import { type CommandSpec, grouped, type Outcome, type Session, UsageError } from './command.js';
import { CORPUS_HELP, corpusReadingOptions, leavingOutOptions } from './corpus-options.js';
import { count, estimateInWords, llmOptions, llmValues, money, writingOptions } from './llm-options.js';

export const queriesCommand: CommandSpec = {
  name: 'queries',
  summary: 'have a language model write queries for passages of a corpus',
  description:
    'For each passage (duplicates taken out, at most --max-passages) and type of query, a language model writes a query ' +
    'that the passage answers. Any server that speaks the API of OpenAI will do, or a GGUF file.\n\n' +
    'Writes into --output: queries.jsonl, which `specialize --queries` takes; replies.jsonl, each reply the moment it ' +
    'comes; failed.jsonl, what was not written and why; summary.json. Started again with the same --output it goes on ' +
    'where it was and asks nothing twice. Says before it starts how much it will ask; --dry-run says only that.',
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
      {
        name: 'model',
        kind: 'text',
        value: 'name|path',
        help: 'the model to be trained: for text files, whose passages are measured by its tokenizer',
      },
      ...leavingOutOptions,
      { name: 'maxPassages', kind: 'whole', value: 'count', help: 'most passages, a sample (default: 100000)' },
      { name: 'seed', kind: 'whole', value: 'number', help: 'of sample, examples and replies (default: 1)' },
    ]),
    ...grouped('Corpus', corpusReadingOptions),
    ...grouped('Queries', writingOptions),
    ...grouped('Language model', llmOptions),
    ...grouped('Batch API', [
      {
        name: 'batchRequests',
        kind: 'text',
        value: 'directory',
        help: 'write requests for a batch API there, ask nothing',
      },
      { name: 'batchReplies', kind: 'texts', value: 'file', help: "take in a batch API's replies, ask nothing" },
    ]),
    ...grouped('Output', [
      { name: 'output', kind: 'text', value: 'directory', required: true, help: 'where queries and replies go' },
      { name: 'dryRun', kind: 'flag', help: 'say how much would be asked, and ask nothing' },
    ]),
  ],
  examples: [
    {
      line: 'queries --corpus my-corpus --llm-base-url http://localhost:8000/v1 --llm-model Qwen/Qwen3-8B --output runs/queries',
      purpose: 'by a server on this machine, such as vLLM, llama.cpp or Ollama',
    },
    {
      line: 'queries --corpus my-corpus --llm-model gpt-4.1-mini --llm-input-price 0.4 --llm-output-price 1.6 --llm-max-cost 5 --output runs/queries',
      purpose: 'by a service, with a budget; the key is in OPENAI_API_KEY',
    },
    {
      line: 'queries --corpus my-corpus --llm-model gpt-4.1-mini --batch-requests runs/batch --output runs/queries',
      purpose: 'files for a batch API; its replies come back by --batch-replies',
    },
  ],
  async run(given, session) {
    const { dryRun, batchRequests, batchReplies, ...rest } = given;
    if ([dryRun, batchRequests, batchReplies].filter((way) => way !== undefined && way !== false).length > 1) {
      throw new UsageError('Give one of --dry-run, --batch-requests and --batch-replies.');
    }
    const options = await libraryOptions(rest, session);
    const library = await import('../queries/write-queries.js');
    if (dryRun) {
      const estimate = await library.estimateQueries(options);
      return { json: estimate, text: estimateInWords(estimate) };
    }
    if (typeof batchRequests === 'string') return exported(await library.exportQueryBatch(options, batchRequests));
    if (batchReplies) return imported(await library.importQueryBatch(options, batchReplies as string[]));
    return written(await library.writeQueries(options), session);
  },
};

async function libraryOptions(given: Record<string, unknown>, session: Session): Promise<WriteQueriesOptions> {
  const { model, ...rest } = given;
  const { signal, onProgress, say } = session;
  const options = { ...(rest as unknown as WriteQueriesOptions), ...(await llmValues(rest)), signal, onProgress };
  if (typeof model === 'string') {
    const [{ resolveModel }, { tokenCounter }] = await Promise.all([
      import('../models/hub.js'),
      import('../models/token-counter.js'),
    ]);
    options.countTokens = tokenCounter(await resolveModel(model, { signal, onProgress }), signal);
  }
  options.onCorpus = ({ report }) => report && describeMistakes(report).forEach((line) => say(line));
  options.onEstimate = (estimate) => say(estimateInWords(estimate), { estimate });
  return options;
}

function written(result: QueryWriting, { say }: Session): Outcome {
  if (result.stopped === 'budget') {
    say('queries: stopped, since the budget is used up; raise it and start again to go on');
  }
  return { json: result, text: resultInWords(result) };
}

function resultInWords(result: QueryWriting): string {
  const { written: kept, failed, rejectedReplies, open, spent, retries, queries } = result;
  const tokens = spent.promptTokens + spent.completionTokens;
  const cost = spent.cost === undefined ? '' : `, ${money(spent.cost)}`;
  const lines = [
    `${count(kept)} queries, ${count(spent.requests)} replies, ${count(tokens)} tokens${cost}`,
    ...reasons('not written', failed),
    ...(Object.keys(failed).some((reason) => reason !== 'duplicate')
      ? ['failed.jsonl beside the queries says why; --retry-failed asks for these again']
      : []),
    ...reasons('replies without a query', rejectedReplies),
    ...(open > 0 ? [`not asked yet: ${count(open)}`] : []),
    ...(retries > 0 ? [`tried again after faults of the server: ${count(retries)}`] : []),
    `queries: ${queries}`,
  ];
  return lines.join('\n');
}

function reasons(what: string, byReason: Record<string, number>): string[] {
  const entries = Object.entries(byReason);
  if (entries.length === 0) return [];
  return [`${what}: ${entries.map(([reason, times]) => `${count(times)} ${reason}`).join(', ')}`];
}

function exported(result: BatchExport): Outcome {
  const { files, requests, stopped } = result;
  const lines = [`${count(requests)} requests`, ...files];
  if (stopped) lines.unshift('the budget allows no more; raise it for the rest');
  return { json: result, text: lines.join('\n') };
}

function imported(result: BatchImport): Outcome {
  const { imported: taken, known, foreign } = result;
  const beside = [known && `${count(known)} were known`, foreign && `${count(foreign)} are to other requests`].filter(
    Boolean,
  );
  const line = `${count(taken)} replies taken in${beside.length > 0 ? ` (${beside.join(', ')})` : ''}`;
  return { json: result, text: `${line}\n${resultInWords(result)}` };
}

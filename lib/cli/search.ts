import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { embedCorpus } from '../candidates/embeddings.js';
import type { Corpus } from '../corpus/corpus.js';
import { passageText } from '../corpus/passage.js';
import type { Embedder } from '../embedder.js';
import { readEmbeddings, recordOf, writeEmbeddings } from '../embeddings/file.js';
import { NotFoundError } from '../errors.js';
import { readQueries } from '../formats/beir.js';
import { writeTrecRun } from '../formats/trec.js';
import { searchEmbeddings, toRun } from '../search.js';
import { oneLine } from '../terminal.js';
import type { LongWork, Query, Run } from '../types.js';
import { type CommandSpec, grouped, UsageError } from './command.js';
import { CORPUS_HELP, corpusOf, corpusReadingOptions } from './corpus-options.js';
import { lengthOption, loadingOptions, loadingOptionsOf, modelOption } from './model-options.js';

export const searchCommand: CommandSpec = {
  name: 'search',
  summary: 'find the best passages for queries',
  description:
    'Searches a corpus exactly with a model, for queries on the command line or from a file. The corpus is encoded ' +
    'first; with --embeddings that is done once and kept.',
  texts: { name: 'query', help: 'queries, each in quotes' },
  options: [
    {
      name: 'run',
      kind: 'text',
      value: 'directory',
      help: "a run of specialize: its model/ and its corpus, whose embeddings are kept in the run's search/",
    },
    { ...modelOption, required: false },
    { name: 'corpus', kind: 'text', value: 'path', help: CORPUS_HELP },
    { name: 'queries', kind: 'text', value: 'file', help: 'JSON Lines of _id and text, instead of queries here' },
    { name: 'k', kind: 'whole', value: 'passages', help: 'how many to find for each query (default: 10)' },
    {
      name: 'embeddings',
      kind: 'text',
      value: 'file.npy',
      help: "the corpus' embeddings, as `encode` writes them; made and kept there if missing",
    },
    { name: 'saveRun', kind: 'text', value: 'file', help: "also write the ranking, in TREC's layout" },
    lengthOption,
    ...loadingOptions,
    ...grouped('Corpus', corpusReadingOptions),
  ],
  examples: [
    { line: 'search --run runs/cranfield "what is boundary layer transition?"', purpose: 'ask what a run made' },
    {
      line: 'search --model runs/cranfield/model --corpus cranfield "what is boundary layer transition?"',
      purpose: 'ask a question',
    },
    {
      line: 'search --model runs/cranfield/model --corpus cranfield --embeddings corpus.npy --queries queries.jsonl --k 100 --save-run run.trec',
      purpose: 'many queries, corpus encoded once',
    },
  ],
  async run(given, session, texts) {
    const options = typeof given['run'] === 'string' ? await ofRun(given['run'], given) : given;
    for (const name of ['model', 'corpus']) {
      if (options[name] === undefined) throw new UsageError(`search needs --run, or --model and --corpus.`);
    }
    const { signal, onProgress } = session;
    const work = { signal, onProgress };
    const { model, saveRun, k = 10 } = options as { model: string; saveRun?: string; k?: number };
    const queries = await queriesOf(options.queries as string | undefined, texts, signal);
    const { Embedder } = await import('../embedder.js');
    await using embedder = await Embedder.load(model, { ...loadingOptionsOf(options), ...lengthOf(options), ...work });
    const { countTokens } = embedder;
    const corpus = await corpusOf(options.corpus as string, options, { ...session, countTokens });
    const { ids, values } = await corpusEmbeddings(embedder, corpus, { options, ...work });
    const asked = await embedder.encode(
      queries.map(({ text }) => text),
      { kind: 'query', ...work },
    );
    const { dimension } = embedder;
    const best = await searchEmbeddings({ queries: asked, corpus: values, dimension, k, ...work });
    const run = await toRun(best, { queryIds: queries.map(({ id }) => id), passageIds: ids });
    if (saveRun) await writeTrecRun(saveRun, run, { signal });
    return { json: { queries: results(queries, run, corpus) }, text: readable(queries, run, corpus) };
  },
};

/** What a run recommends and searched, beside what was given here. */
async function ofRun(run: string, given: Record<string, unknown>): Promise<Record<string, unknown>> {
  const file = join(run, 'corpus.json');
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new NotFoundError(`Expected the directory of a run, with corpus.json, at ${run} but there is none.`, {
      cause,
    });
  });
  const { source, reading } = JSON.parse(text) as { source?: string; reading?: object };
  if (source === undefined && given['corpus'] === undefined) {
    throw new UsageError(`${file} does not say where the run's corpus is: give --corpus.`);
  }
  const kept = { model: join(run, 'model'), corpus: source, embeddings: join(run, 'search', 'passages.npy') };
  return { ...kept, ...(given['corpus'] === undefined && reading), ...given };
}

function lengthOf({ maxLength }: Record<string, unknown>): { maxLength?: number } {
  return maxLength === undefined ? {} : { maxLength: maxLength as number };
}

async function queriesOf(file: string | undefined, texts: string[], signal: AbortSignal): Promise<Query[]> {
  if (file !== undefined && texts.length > 0) {
    throw new UsageError('search takes queries on the command line or --queries, not both.');
  }
  if (file !== undefined) return readQueries(file, { signal });
  if (texts.length === 0) throw new UsageError('search needs a query in quotes, or --queries with a file of them.');
  return texts.map((text, i) => ({ id: String(i + 1), text }));
}

type Work = Required<LongWork> & { options: Record<string, unknown> };

async function corpusEmbeddings(
  embedder: Embedder,
  corpus: Corpus,
  { options, signal, onProgress }: Work,
): Promise<{ ids: readonly string[]; values: Float32Array }> {
  const { embeddings: file, model } = options as { embeddings?: string; model: string };
  if (file === undefined) {
    const { ids, matrix } = await embedCorpus(embedder, corpus, { signal, onProgress });
    return { ids, values: matrix };
  }
  const texts = Array.from(corpus, (passage) => passageText(passage));
  const expected = await recordOf(embedder, { model, kind: 'passage', texts, signal });
  const there = await readEmbeddings(file, { expected, signal });
  if (there) return there;
  const { ids, matrix } = await embedCorpus(embedder, corpus, { signal, onProgress });
  await writeEmbeddings(file, { record: { ...expected, ids: [...ids] }, values: matrix, signal });
  return { ids, values: matrix };
}

function results(queries: readonly Query[], run: Run, corpus: Corpus): object[] {
  return queries.map(({ id, text }) => ({
    id,
    query: text,
    passages: (run.get(id) ?? []).map((found, i) => {
      const passage = corpus.get(found.id);
      return { rank: i + 1, id: found.id, score: found.score, title: passage?.title, text: passage?.text };
    }),
  }));
}

const SNIPPET = 160;

function readable(queries: readonly Query[], run: Run, corpus: Corpus): string {
  const lines: string[] = [];
  for (const { id, text } of queries) {
    lines.push(...(lines.length ? [''] : []), oneLine(text));
    for (const [i, found] of (run.get(id) ?? []).entries()) {
      const { title = '', text: body = '' } = corpus.get(found.id) ?? {};
      const place = `${String(i + 1).padStart(4)}  ${found.score.toFixed(4)}`;
      lines.push(`${place}  ${oneLine(found.id)}  ${oneLine(title)}`.trimEnd());
      lines.push(`      ${oneLine(body).slice(0, SNIPPET)}`.trimEnd());
    }
  }
  return lines.join('\n');
}

import { passageText } from '../corpus/passage.js';
import type { CountTokens } from '../corpus/splitter.js';
import { checkMayWrite, recordOf } from '../embeddings/file.js';
import { type IfExists, ifExistsChoices, openTarget } from '../embeddings/target.js';
import { readQueries } from '../formats/beir.js';
import { type CommandSpec, grouped, type Session } from './command.js';
import { corpusOf, corpusReadingOptions } from './corpus-options.js';
import { lengthOption, loadingOptions, loadingOptionsOf, modelOption } from './model-options.js';

export const encodeCommand: CommandSpec = {
  name: 'encode',
  summary: 'turn passages or queries into embeddings',
  description:
    'Encodes passages (any corpus that `search` takes) or queries (JSON Lines of _id and text): a file, or a ' +
    'directory that has them.\n\nWrites, by the ending of --output: .npy, a matrix for numpy.load; .parquet (_id, text, ' +
    'embedding); .jsonl, a line {"_id", "embedding"} for each text; or .lance, a LanceDB table (`npm install ' +
    '@lancedb/lancedb apache-arrow` once). Embeddings have unit length, so an inner product is a cosine.\n\nBeside it, ' +
    '<output>.json says which model, prefixes, length and texts they are of. Where that names another model than ' +
    'the one given, or is missing beside embeddings that are there, nothing is written: vectors of two models do not ' +
    'compare.',
  options: [
    modelOption,
    { name: 'input', kind: 'text', value: 'path', required: true, help: 'file or directory of texts' },
    { name: 'output', kind: 'text', value: 'file', required: true, help: 'ends in .npy, .parquet, .jsonl or .lance' },
    {
      name: 'ifExists',
      kind: 'text',
      choices: ifExistsChoices,
      help: 'embeddings of another model there: refuse; replace them; or append to a .lance table (default: refuse)',
    },
    { name: 'kind', kind: 'text', choices: ['passage', 'query'], help: 'which prefix applies (default: passage)' },
    lengthOption,
    ...loadingOptions,
    ...grouped('Corpus', corpusReadingOptions),
  ],
  examples: [
    {
      line: 'encode --model runs/cranfield/model --input cranfield --output corpus.npy',
      purpose: 'a corpus, for numpy or for `search --embeddings`',
    },
    {
      line: 'encode --model runs/cranfield/model --kind query --input queries.jsonl --output vectors.jsonl',
      purpose: 'queries, as JSON Lines',
    },
  ],
  async run(options, session) {
    const { signal, onProgress } = session;
    const { model, input, output } = options as { model: string; input: string; output: string };
    const { kind = 'passage', maxLength } = options as { kind?: 'passage' | 'query'; maxLength?: number };
    const ifExists = (options['ifExists'] ?? 'refuse') as IfExists;
    const target = openTarget(output, ifExists);
    const { Embedder } = await import('../embedder.js');
    await using embedder = await Embedder.load(model, { ...loadingOptionsOf(options), signal, onProgress });
    const { countTokens } = embedder;
    const { ids, texts } = await readTexts(input, { ...options, kind }, { ...session, countTokens });
    const record = await recordOf(embedder, { model, kind, texts, maxLength, signal });
    // Before the work, which may take hours.
    if (ifExists !== 'replace') await checkMayWrite(output, record);
    const values = await embedder.encode(texts, { kind, maxLength, signal, onProgress });
    await target.write({ record: { ...record, ids }, texts, values, signal });
    return {
      json: { output, texts: ids.length, ...record },
      text: `${ids.length} embeddings of ${record.dimension} numbers: ${output}`,
    };
  },
};

/** Texts as the model reads them, with their ids. */
async function readTexts(
  input: string,
  options: Record<string, unknown> & { kind: 'query' | 'passage' },
  session: Session & { countTokens: CountTokens },
): Promise<{ ids: string[]; texts: string[] }> {
  if (options.kind === 'query') {
    const queries = await readQueries(input, { signal: session.signal });
    return { ids: queries.map(({ id }) => id), texts: queries.map(({ text }) => text) };
  }
  const corpus = await corpusOf(input, options, session);
  return { ids: [...corpus.ids()], texts: Array.from(corpus, (passage) => passageText(passage)) };
}

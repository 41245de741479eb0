import { extname } from 'node:path';
import { passageText } from '../corpus/passage.js';
import type { CountTokens } from '../corpus/splitter.js';
import { InvalidArgumentError } from '../errors.js';
import { readQueries } from '../formats/beir.js';
import { writeJsonl } from '../formats/jsonl.js';
import { type CommandSpec, grouped, type Session } from './command.js';
import { corpusOf, corpusReadingOptions } from './corpus-options.js';
import { recordOf, writeEmbeddings } from './embeddings-file.js';
import { lengthOption, loadingOptions, loadingOptionsOf, modelOption } from './model-options.js';

export const encodeCommand: CommandSpec = {
  name: 'encode',
  summary: 'turn passages or queries into embeddings',
  description:
    'Encodes passages (any corpus that `search` takes) or queries (JSON Lines of _id and text): a file, or a ' +
    'directory that has them.\n\nWrites, by the ending of --output: .npy, a matrix for numpy.load, with ' +
    '<output>.json beside it (ids of the rows, model, prefix, length); or .jsonl, a line {"_id", "embedding"} for each ' +
    'text. Embeddings have unit length, so an inner product is a cosine.',
  options: [
    modelOption,
    { name: 'input', kind: 'text', value: 'path', required: true, help: 'file or directory of texts' },
    { name: 'output', kind: 'text', value: 'file', required: true, help: '.npy or .jsonl' },
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
    const format = extname(output);
    if (format !== '.npy' && format !== '.jsonl') {
      throw new InvalidArgumentError('output', 'a file name that ends in .npy or .jsonl', output);
    }
    const { Embedder } = await import('../embedder.js');
    await using embedder = await Embedder.load(model, { ...loadingOptionsOf(options), signal, onProgress });
    const { countTokens } = embedder;
    const { ids, texts } = await readTexts(input, { ...options, kind }, { ...session, countTokens });
    const values = await embedder.encode(texts, { kind, maxLength, signal, onProgress });
    const record = await recordOf(embedder, { model, kind, texts, maxLength, signal });
    if (format === '.npy') await writeEmbeddings(output, { record: { ...record, ids }, values, signal });
    else await writeJsonl(output, rows(ids, values), { signal });
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

function* rows(ids: readonly string[], values: Float32Array): Generator<object> {
  const dimension = values.length / ids.length;
  for (const [row, id] of ids.entries()) {
    yield { _id: id, embedding: Array.from(values.subarray(row * dimension, (row + 1) * dimension)) };
  }
}

import { cleaningChoices, describeMistakes } from '../corpus/cleaning.js';
import { type Corpus, type CorpusOptions, corpusOptionsOf, loadCorpus } from '../corpus/corpus.js';
import { corpusFormats } from '../corpus/places.js';
import type { CountTokens } from '../corpus/splitter.js';
import type { OptionSpec, Session } from './command.js';

const MISTAKES: Readonly<Record<keyof typeof cleaningChoices, string>> = {
  duplicateIds: 'ids that come twice',
  emptyTexts: 'texts of white space only',
  invalidUtf8: 'bytes that are not UTF-8',
  controlCharacters: 'control characters',
};

/** What --corpus may be, for its help. */
export const CORPUS_HELP =
  'directory (BEIR, MS MARCO, Parquet, text and Markdown) or file (.jsonl, .tsv, .csv, .parquet; .gz, .zst)';

/** Which passages of a corpus are left out; `queries` and `specialize` share it. */
export const leavingOutOptions: readonly OptionSpec[] = [
  {
    name: 'exclude',
    kind: 'text',
    value: 'file',
    orApiValue: 'array',
    help: 'ids of passages to leave out, one a line',
  },
  { name: 'excludeQrels', kind: 'text', value: 'file', help: 'leave out passages that these judgements name' },
  {
    name: 'nearDuplicates',
    kind: 'number',
    value: 'resemblance',
    help: 'from which passages are nearly the same and one goes, 0.8 to 1 (default: none go)',
  },
  { name: 'minCharacters', kind: 'whole', value: 'count', help: 'shorter passages are dropped (default: 10)' },
  { name: 'duplicateWindow', kind: 'whole', value: 'count', help: 'neighbours looked at for duplicates (default: 9)' },
];

/** How a corpus is read. */
export const corpusReadingOptions: readonly OptionSpec[] = [
  {
    name: 'corpusFormat',
    kind: 'text',
    choices: corpusFormats,
    help: 'of the corpus (default: by the names of files)',
  },
  { name: 'idField', kind: 'text', value: 'name', help: 'field with the ids (default: _id, or id)' },
  { name: 'titleField', kind: 'text', value: 'name', help: 'field with the titles (default: title)' },
  { name: 'textField', kind: 'text', value: 'name', help: 'field with the texts (default: text)' },
  {
    name: 'splitTokens',
    kind: 'whole',
    value: 'tokens',
    help: 'most tokens of a passage of a text file (default: 200)',
  },
  { name: 'splitOverlap', kind: 'whole', value: 'tokens', help: 'tokens that such passages share (default: 20)' },
  ...Object.entries(cleaningChoices).map(([name, choices]): OptionSpec => {
    const help = `${MISTAKES[name as keyof typeof cleaningChoices]} (default: ${choices[0]})`;
    return { name, kind: 'text', choices, help };
  }),
  {
    name: 'corpusMemory',
    kind: 'whole',
    value: 'bytes',
    help: 'texts held in memory; more are packed (default: 256 MiB)',
  },
  { name: 'corpusCache', kind: 'text', value: 'directory', help: "for packed corpora (default: in listwise's cache)" },
];

/** Loads the corpus that a command's options name, and says what is wrong in it. */
export async function corpusOf(
  path: string,
  options: Record<string, unknown>,
  { countTokens, signal, onProgress, say }: Session & { countTokens?: CountTokens },
): Promise<Corpus> {
  const reading = { ...corpusOptionsOf(options as CorpusOptions), countTokens };
  const corpus = await loadCorpus(path, { ...reading, signal, onProgress });
  if (corpus.report) for (const line of describeMistakes(corpus.report)) say(line);
  return corpus;
}

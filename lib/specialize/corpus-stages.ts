import { rename } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { encodeCorpus } from '../candidates/embeddings-file.js';
import { countMistakes } from '../corpus/cleaning.js';
import { corpusOptionsOf } from '../corpus/corpus.js';
import { findDuplicates } from '../corpus/duplicates.js';
import { excludedPassages } from '../corpus/exclusion.js';
import { writeLines } from '../formats/atomic.js';
import { readQrels } from '../formats/beir.js';
import { writeJsonl } from '../formats/jsonl.js';
import { makeDirectory, writing } from '../formats/writing.js';
import { hashTexts } from '../hashes.js';
import type { SettledOptions } from './options.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import type { Workbench } from './workbench.js';

/** Which passages may be sources and candidates: corpus.json and duplicates.jsonl. */
export async function corpusStage(bench: Workbench): Promise<Stage> {
  const { corpus, options, directory, work } = bench;
  const { minCharacters, duplicateWindow, nearDuplicates, signal } = options;
  const sha256 = await bench.corpusHash();
  const excluded = await excludedIds(bench);
  return {
    name: 'corpus',
    options: { minCharacters, duplicateWindow, nearDuplicates, excludeJudged: options.excludeJudged },
    inputs: { corpus: sha256, 'excluded passages': await hashTexts(excluded, signal) },
    outputs: [FILES.corpus, FILES.duplicates],
    work: async (partial) => {
      const dropped = await findDuplicates(corpus, {
        ...{ minCharacters, duplicateWindow, nearDuplicates, temporaryDirectory: partial.directory },
        ...work,
      });
      await writeJsonl(directory.file('duplicates'), dropped, { signal });
      const { tooShort, contained, near } = dropped.counts();
      const excludedOnly = excluded.filter((id) => !dropped.has(corpus.row(id)!));
      const counts = {
        passages: corpus.size,
        tooShort,
        duplicates: contained,
        ...(nearDuplicates !== undefined && { nearDuplicates: near }),
        excluded: excluded.length,
        usable: corpus.size - tooShort - contained - near - excludedOnly.length,
        ...(corpus.report && countMistakes(corpus.report)),
      };
      await writeLines(directory.file('corpus'), [
        JSON.stringify({ sha256, ...counts, ...sourceOf(options), mistakes: corpus.report, excluded }, null, 2),
      ]);
      return counts;
    },
  };
}

/** Where the corpus is and how it was read, for `listwise search --run`. */
function sourceOf(options: SettledOptions): object {
  if (typeof options.corpus !== 'string') return {};
  return { source: resolve(options.corpus), reading: corpusOptionsOf(options) };
}

async function excludedIds({ corpus, options }: Workbench): Promise<string[]> {
  const { excludeJudged, data, split, signal } = options;
  const excluded = await excludedPassages(corpus, options);
  const judgements = excludeJudged ? await readQrels(data!, split, { signal }) : new Map<string, Map<string, number>>();
  for (const judged of judgements.values()) {
    for (const id of judged.keys()) if (corpus.has(id)) excluded.add(id);
  }
  return [...excluded].sort();
}

/** The base model's embeddings of the whole corpus, for candidates, the fused teacher and the base's evaluation. */
export async function embeddingsStage(bench: Workbench): Promise<Stage> {
  const { corpus, options, directory, work } = bench;
  const { signal } = options;
  const source = bench.modelSource();
  const model = await source.hash();
  return {
    name: 'embeddings',
    options: { ...encodingOptions(options), embeddingsType: options.embeddingsType },
    inputs: { corpus: await bench.corpusHash(), model },
    sources: { model: source },
    outputs: [FILES.passageEmbeddings, FILES.passageIndex],
    work: async (partial) => {
      const embedder = await bench.embedder();
      const { embeddingsType: type } = options;
      // A partial directory is of one corpus, model and choice of options.
      const begun = join(partial.directory, 'passages.npy');
      await encodeCorpus(begun, { embedder, corpus, type, key: 'passages', ...work });
      const file = directory.file('passageEmbeddings');
      await makeDirectory(dirname(file));
      await writing(file, () => rename(begun, file));
      const size = { rows: corpus.size, columns: embedder.dimension };
      const ids = await hashTexts(corpus.ids(), signal);
      const index = { ...size, type, ids, model, ...encodingOptions(options) };
      await writeLines(directory.file('passageIndex'), [JSON.stringify(index, null, 2)]);
      return { passages: corpus.size, dimension: embedder.dimension };
    },
  };
}

/** What decides embeddings beside texts and weights. */
export function encodingOptions(options: SettledOptions) {
  const { passageMaxLength, queryMaxLength, pooling, queryPrefix, passagePrefix, precision } = options;
  return { passageMaxLength, queryMaxLength, pooling, queryPrefix, passagePrefix, precision };
}

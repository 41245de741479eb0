import { fileURLToPath } from 'node:url';
import { passageText } from '../lib/corpus/passage.js';
import { readCorpus } from '../lib/formats/beir.js';
import { readModelDirectory } from '../lib/models/directory.js';
import { Tokenizer } from '../lib/models/tokenizer.js';
import { type NativeEncoder, native, type PackedTexts, runJob } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { smallModelDirectory } from '../lib/setup/model.js';

const cranfield = fileURLToPath(new URL('../examples/cranfield', import.meta.url));

/** all-MiniLM-L6-v2 by the fused kernels or by plain library operations. */
export async function loadEncoder(kernels: 'fused' | 'portable'): Promise<NativeEncoder> {
  const { architecture, weightNames, weightFiles: files } = await readModelDirectory(smallModelDirectory());
  return runJob(() =>
    native().loadEncoder({ files, architecture, weightNames, device: 'cpu', precision: 'fp32', kernels }),
  );
}

/** A seeded sample of Cranfield's abstracts, cut to `maxLength` tokens. */
export async function realTexts(count: number, maxLength: number): Promise<PackedTexts> {
  const texts: string[] = [];
  for await (const passage of readCorpus(cranfield)) texts.push(passageText(passage));
  const tokenizer = await Tokenizer.load(await readModelDirectory(smallModelDirectory()));
  return tokenizer.pack(Random.for(1, 'bench').shuffle(texts).slice(0, count), { maxLength });
}

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Session } from '../lib/cli/command.js';
import { exportCommand } from '../lib/cli/export.js';
import { exportOnnx } from '../lib/export/onnx.js';
import type { ParityRow } from '../lib/export/parity.js';
import { skipWithoutPython } from './environment.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { PASSAGES, writeCollection } from './tiny-run.js';

const nothing = () => {};
const session: Session = {
  ...{ say: nothing, detail: nothing, onProgress: nothing, ask: async () => undefined },
  signal: new AbortController().signal,
};

describe('listwise export', function () {
  this.timeout(120_000);
  const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';

  it('writes ONNX files that give our embeddings, and a table that says how near they are', async function () {
    skipWithoutPython(this);
    const judged = Array.from({ length: PASSAGES }, (_, i) => i);
    const data = writeCollection({ judged });
    const output = join(temporaryDirectory(), 'exported');
    // Without BertTokenizer's own lower-casing, letters are all that this tokeniser has.
    const model = writeTinyModel(undefined, { pooling: 'cls' });
    const { json, text } = await exportCommand.run({ output, data, python }, session, [model]);
    for (const file of ['onnx/model.onnx', 'onnx/model_quantized.onnx', 'model.safetensors', '1_Pooling/config.json']) {
      expect(existsSync(join(output, file)), file).to.equal(true);
    }
    const [exact, rounded] = (json as { parity: ParityRow[] }).parity;
    expect(exact).to.include({ format: 'onnx', texts: 2 * PASSAGES });
    expect(exact!.minimumCosine).to.be.above(0.999999);
    expect(exact!.ndcgDifference).to.be.closeTo(0, 1e-9);
    expect(exact!.ndcg).to.be.above(0.3);
    expect(rounded!.minimumCosine).to.be.within(0.9, 0.9999999);
    expect(text).to.match(
      /\nformat +least cosine +mean cosine +nDCG@10 +to ours\nonnx +1\.0{6} +1\.0{6} +0\.\d{4} +[+-]0\.0000\n/,
    );
  });

  it('says what to install where Python or a package is missing, and refuses other formats', async () => {
    const model = writeTinyModel();
    const output = () => join(temporaryDirectory(), 'exported');
    const none = await rejection(exportOnnx(model, { output: output(), python: 'no-such-python' }));
    expect(none.message).to.equal(
      'no-such-python cannot be run: install Python 3.10 or newer, or name one by --python.',
    );
    const bare = await rejection(
      exportOnnx(model, { output: output(), python: join(import.meta.dirname, 'programs', 'bare-python.sh') }),
    );
    expect(bare).to.have.property('code', 'SETUP');
    expect(bare.message)
      .to.contain('has no package torch')
      .and.to.contain('-m pip install torch transformers onnx onnxruntime');
    const format = await rejection(exportOnnx(model, { output: output(), formats: ['gguf' as never] }));
    expect(format.message).to.equal('Expected one or more of onnx, onnx-int8 for formats but received "gguf".');
  });
});

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Session } from '../lib/cli/command.js';
import { exportCommand } from '../lib/cli/export.js';
import { Embedder } from '../lib/embedder.js';
import { exportOnnx } from '../lib/export/onnx.js';
import type { ParityRow } from '../lib/export/parity.js';
import { hasPackage, PythonWorker } from '../lib/export/python.js';
import { Readers } from '../lib/export/readers.js';
import { poolings } from '../lib/models/settings.js';
import { skipWithoutPython } from './environment.js';
import { FAMILY_MODELS, writeFamilyModel } from './family-models.js';
import { expectClose, norm, randomTexts, temporaryDirectory, writeJson, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { PASSAGES, writeCollection } from './tiny-run.js';

const nothing = () => {};
const session: Session = {
  ...{ say: nothing, detail: nothing, onProgress: nothing, ask: async () => undefined },
  signal: new AbortController().signal,
};
const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
const texts = ['a', ...randomTexts(11, { longest: 8 })];

describe('listwise export', function () {
  this.timeout(300_000);
  /** What the first test exports, for those after it. */
  let exported: string;

  it('writes ONNX files that give our embeddings, and a table that says how near each reader is', async function () {
    skipWithoutPython(this);
    const judged = Array.from({ length: PASSAGES }, (_, i) => i);
    const data = writeCollection({ judged });
    const output = join(temporaryDirectory(), 'exported');
    const model = writeTinyModel(undefined, { pooling: 'cls' });
    // Python knows BERT's special tokens by heart, transformers.js does not.
    const special = { pad_token: '[PAD]', unk_token: '[UNK]', cls_token: '[CLS]', sep_token: '[SEP]' };
    writeJson(join(model, 'tokenizer_config.json'), {
      ...{ tokenizer_class: 'BertTokenizer', do_lower_case: true, model_max_length: 40, ...special },
    });
    const { json, text } = await exportCommand.run({ output, data, python }, session, [model]);
    for (const file of ['onnx/model.onnx', 'onnx/model_quantized.onnx', 'model.safetensors', '1_Pooling/config.json']) {
      expect(existsSync(join(output, file)), file).to.equal(true);
    }
    exported = output;
    const [exact, rounded, peer] = (json as { parity: ParityRow[] }).parity;
    for (const [format, row] of Object.entries({ onnx: exact, 'sentence-transformers': peer })) {
      expect(row).to.include({ format, texts: 2 * PASSAGES });
      expect(row!.minimumCosine, format).to.be.above(0.999999);
      expect(row!.ndcgDifference, format).to.be.closeTo(0, 1e-9);
      expect(row!.ndcg, format).to.be.above(0.3);
    }
    expect(rounded!.minimumCosine).to.be.within(0.9, 0.9999999);
    expect(text).to.match(
      /\nformat +least cosine +mean cosine +nDCG@10 +to ours\nonnx +1\.0{6} +1\.0{6} +0\.\d{4} +[+-]0\.0000\n/,
    );
    expect(text).to.match(/\nsentence-transformers +1\.0{6} +1\.0{6} +0\.\d{4} +[+-]0\.0000$/);
  });

  it('pools what the graph gives in every way that models are pooled', async function () {
    skipWithoutPython(this);
    if (!exported) this.skip();
    const formats = ['onnx'] as const;
    await using own = await Embedder.load(exported);
    // Of unit length, a sum divided by this and by that are the same.
    const settings = { ...own.settings, normalize: false };
    await using readers = await Readers.open(exported, { settings, formats, python });
    const seen: Float32Array[] = [];
    for (const pooling of poolings) {
      settings.pooling = pooling;
      await using ours = await Embedder.load(exported, { pooling, normalize: false });
      const expected = await ours.encode(texts);
      const actual = await readers.byName.get('onnx')!.encode(texts, { kind: 'passage' });
      expectClose(actual, expected, { atol: 1e-5 }, `embeddings pooled by ${pooling}`);
      for (const other of seen) expect(norm(expected.map((value, i) => value - other[i]!))).to.be.above(0.1);
      seen.push(expected);
    }
  });

  it("exports T5's encoder without its decoder, and applies Dense modules", async function () {
    skipWithoutPython(this);
    const model = writeFamilyModel(FAMILY_MODELS.find(({ family }) => family === 't5-encoder-gated')!);
    const output = join(temporaryDirectory(), 'exported');
    const { directory } = await exportOnnx(model, { output, formats: ['onnx'], python });
    await using ours = await Embedder.load(directory);
    expect(ours.dimension).to.equal(20);
    await using readers = await Readers.open(directory, { settings: ours.settings, formats: ['onnx'], python });
    const reader = readers.byName.get('onnx')!;
    expect(reader.dimension).to.equal(20);
    const actual = await reader.encode(texts, { kind: 'passage' });
    expectClose(actual, await ours.encode(texts), { atol: 1e-5 }, 'embeddings');
  });

  it('gives transformers.js files that it reads with our embeddings', async function () {
    const home = process.env.LISTWISE_TEST_TRANSFORMERS_JS;
    if (!home || !exported) {
      this.test!.title += ' (skipped: LISTWISE_TEST_TRANSFORMERS_JS names no directory with @huggingface/transformers)';
      this.skip();
    }
    const program = fileURLToPath(new URL('programs/transformers-js.js', import.meta.url));
    for (const pooling of ['mean', 'first-token'] as const) {
      await using ours = await Embedder.load(exported, { pooling });
      const request = { model: exported, texts, pooling: pooling === 'mean' ? 'mean' : 'cls' };
      const options = { input: JSON.stringify(request), encoding: 'utf8' } as const;
      const { stdout, stderr } = spawnSync(process.execPath, [program, home], options);
      expect(stdout, stderr).to.not.equal('');
      const actual = Float32Array.from(JSON.parse(stdout).flat());
      expectClose(actual, await ours.encode(texts), { atol: 1e-5 }, `embeddings pooled by ${pooling}`);
    }
  });

  it('refuses by name, before Python runs, a family that needs code from the Hub', async () => {
    const model = writeFamilyModel(FAMILY_MODELS.find(({ family }) => family === 'new-ntk')!);
    const output = join(temporaryDirectory(), 'exported');
    const error = await rejection(exportOnnx(model, { output, python: 'no-such-python' }));
    expect(error).to.have.property('code', 'UNSUPPORTED');
    expect(error.message)
      .to.contain(`${model} has model_type "new" (NewModel)`)
      .and.to.contain('running Python code from the Hub')
      .and.to.contain('Serve model.safetensors itself');
    expect(existsSync(output)).to.equal(false);
  });

  it('compares with sentence-transformers only where Python has it', async () => {
    const model = writeTinyModel();
    await using ours = await Embedder.load(model);
    const bare = join(import.meta.dirname, 'programs', 'bare-python.sh');
    await using readers = await Readers.open(model, { settings: ours.settings, formats: ['onnx'], python: bare });
    expect([...readers.byName.keys()]).to.deep.equal(['onnx']);
    const error = await rejection(readers.byName.get('onnx')!.encode(texts, { kind: 'passage' }));
    expect(error).to.have.property('code', 'SETUP');
    expect(error.message).to.contain('has no package numpy, which the export needs');
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

describe('PythonWorker', function () {
  this.timeout(60_000);

  it('answers one request after another, whatever the program prints', async () => {
    const program = `
import pathlib
for given in requests():
    print("noise", flush=True)
    pathlib.Path(given["file"]).write_text(given["text"] + str(os.getpid()))
`;
    await using worker = new PythonWorker(program);
    const files = ['one', 'two'].map((name) => join(temporaryDirectory(), name));
    for (const file of files) await worker.ask({ file, text: 'process ' });
    const [one, two] = files.map((file) => readFileSync(file, 'utf8'));
    expect(one).to.match(/^process \d+$/);
    expect(two).to.equal(one);
    expect(await worker.end()).to.equal(0);
  });

  it('says how a program ended that did not answer, and stops one when aborted', async () => {
    await using broken = new PythonWorker('for given in requests():\n    raise ValueError("no " + given["what"])');
    const error = await rejection(broken.ask({ what: 'luck' }));
    expect(error).to.have.property('code', 'INTERNAL');
    expect(error.message).to.match(/^python3? ended with 1: .*ValueError: no luck$/);
    await using slow = new PythonWorker('import time\nfor given in requests(): time.sleep(60)');
    const abort = new AbortController();
    const asked = rejection(slow.ask({}, abort.signal));
    abort.abort(new Error('enough'));
    expect((await asked).message).to.equal('enough');
  });
});

describe('hasPackage', () => {
  it('tells whether Python has one', async () => {
    expect(await hasPackage('json')).to.equal(true);
    expect(await hasPackage('no_such_package')).to.equal(false);
  });
});

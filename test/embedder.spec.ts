import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { type ListwiseError, NativeError } from '../lib/errors.js';
import { explainDeviceError, settleDevice } from '../lib/models/model.js';
import { pausesDuring } from './environment.js';
import { expectClose, norm, randomTexts, realModel, tinyConfig, tinyWeights, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

const fixture = JSON.parse(readFileSync(new URL('fixtures/embeddings.json', import.meta.url), 'utf8'));

describe('Embedder with real weights', () => {
  it('gives the embeddings of sentence-transformers, to 1e-5', async () => {
    await using embedder = await Embedder.load(realModel);
    expect(embedder).to.include({ dimension: fixture.dimension, maxLength: fixture.maxLength });
    const bytes = Buffer.from(fixture.embeddings, 'base64');
    const expected = new Float32Array(new Uint8Array(bytes).buffer);
    expectClose(await embedder.encode(fixture.texts), expected, { atol: 1e-5 }, 'embeddings');
  });

  it('does not hold up the event loop while it encodes', async () => {
    await using embedder = await Embedder.load(realModel);
    const texts = Array.from({ length: 120 }, (_, i) => fixture.texts[i % fixture.texts.length]);
    const { busy, late, work } = await pausesDuring(() => embedder.encode(texts));
    expect(work, 'the work lasts long enough to tell').to.be.above(300);
    expect(busy).to.be.below(50);
    expect(late).to.be.below(0.05);
  });
});

describe('Embedder.load', () => {
  it('refuses options that it does not know, with the nearest that it does', async () => {
    expect(await rejection(Embedder.load(realModel, { maxlength: 8 } as object))).to.include({
      code: 'INVALID_ARGUMENT',
      message: 'Embedder.load has no option "maxlength"; did you mean "maxLength"?',
    });
  });

  const wrong: [Record<string, unknown>, string][] = [
    [
      { pooling: 'median' },
      `Expected 'mean' or 'first-token' or 'max' or 'weighted-mean' or 'last-token' or 'mean-sqrt-length' for pooling ` +
        'but received "median".',
    ],
    [{ normalize: 1 }, 'Expected true or false for normalize but received 1.'],
    [{ queryPrefix: 7 }, 'Expected a string for queryPrefix but received 7.'],
    [
      { maxLength: 41 },
      'Expected a whole number from 3 to 40, the most that this model can read, for maxLength but received 41.',
    ],
    [
      { queryMaxLength: 1 },
      'Expected a whole number from 3 to 40, the most that this model can read, for queryMaxLength but received 1.',
    ],
    [{ device: 'tpu' }, `Expected 'auto', 'cpu', 'cuda' or 'cuda:N' for device but received "tpu".`],
    [{ device: 'cpu', precision: 'bf16' }, `Expected 'fp32' or 'int8' on the CPU for precision but received "bf16".`],
  ];
  for (const [options, message] of wrong) {
    it(`refuses ${JSON.stringify(options)}`, async () => {
      expect(await rejection(Embedder.load(writeTinyModel(), options))).to.include({
        code: 'INVALID_ARGUMENT',
        message,
      });
    });
  }

  for (const problem of [
    'CUDA error: invalid device ordinal',
    'Device index must be -1 or non-negative, got -25',
    'Allocator not initialized for device 9: did you call init?',
  ]) {
    it(`explains a CUDA device that is not there, where libtorch says "${problem}"`, () => {
      const native = new NativeError('INTERNAL', problem);
      const explained = explainDeviceError(native, 'cuda:9') as ListwiseError;
      expect(explained).to.include({ code: 'UNSUPPORTED', cause: native });
      expect(explained.message).to.include("Device 'cuda:9' was asked for").and.to.include("'cuda:0'");
      expect(explainDeviceError(native, 'cpu')).to.equal(native);
    });
  }

  it('computes in bf16 on a GPU that has it, in fp32 on an older one, and says so where bf16 is asked of that', () => {
    const machine = { cuda: true, devices: ['9.0', '7.5'] };
    expect(settleDevice('auto', undefined, machine)).to.deep.equal({ device: 'cuda', precision: 'bf16' });
    expect(settleDevice('cuda:1', undefined, machine)).to.deep.equal({ device: 'cuda:1', precision: 'fp32' });
    expect(settleDevice('cuda:0', 'fp32', machine)).to.deep.equal({ device: 'cuda:0', precision: 'fp32' });
    expect(() => settleDevice('cuda:1', 'bf16', machine))
      .to.throw(
        "Precision 'bf16' was asked for on 'cuda:1', a GPU of compute capability 7.5, but only those from 8.0 on",
      )
      .with.property('code', 'UNSUPPORTED');
    // Of a device that is not there, loading will tell.
    expect(settleDevice('cuda:2', undefined, machine)).to.deep.equal({ device: 'cuda:2', precision: 'bf16' });
  });

  it('leaves other native errors as they are', () => {
    const memory = new NativeError('OUT_OF_MEMORY', 'no memory on device index 9');
    expect(explainDeviceError(memory, 'cuda:9')).to.equal(memory);
    const other = new NativeError('INTERNAL', 'cuBLAS failed');
    expect(explainDeviceError(other, 'cuda:9')).to.equal(other);
  });

  it('says so when a weight has another shape than config.json says', async () => {
    const weights = tinyWeights({ ...tinyConfig, intermediate_size: 64 });
    const error = await rejection(Embedder.load(writeTinyModel(undefined, { weights })));
    expect(error.code).to.equal('BAD_MODEL');
    expect(error.message).to.include('encoder.layer.0.intermediate.dense');
    expect(error.message).to.match(/64.*48|48.*64/s);
  });
});

describe('Embedder.encode', () => {
  let embedder: Embedder;
  before(async () => {
    embedder = await Embedder.load(writeTinyModel());
  });
  after(() => embedder.dispose());

  it('gives each text the row of its place, as when it is encoded alone', async () => {
    const texts = randomTexts(4200);
    const all = await embedder.encode(texts);
    expect(all).to.have.length(4200 * embedder.dimension);
    for (const i of [0, 1, 2, 777, 4095, 4096, 4199]) {
      const row = all.subarray(i * embedder.dimension, (i + 1) * embedder.dimension);
      expectClose(row, await embedder.encode([texts[i]!]), { atol: 1e-6 }, `row ${i}`);
      expect(norm(row)).to.be.closeTo(1, 1e-5);
    }
  });

  it('encodes the texts as they were at the call, whatever becomes of the array', async () => {
    const texts = randomTexts(6000);
    const whole = await embedder.encode([...texts]);
    const running = embedder.encode(texts);
    texts.length = 0;
    expect(await running).to.deep.equal(whole);
  });

  it('refuses options that are null', async () => {
    const message = 'Expected an object for the options of Embedder.encode but received null.';
    const error = await rejection(embedder.encode(['a'], null as never));
    expect(error).to.include({ code: 'INVALID_ARGUMENT', message });
  });

  it('gives nothing for no texts', async () => {
    expect(await embedder.encode([])).to.have.length(0);
  });

  it('puts the prefix of its kind before each text', async () => {
    await using prefixed = await Embedder.load(writeTinyModel(), { queryPrefix: 'ask ', passagePrefix: 'read ' });
    expect(await prefixed.encode(['it'], { kind: 'query' })).to.deep.equal(await embedder.encode(['ask it']));
    expect(await prefixed.encode(['it'])).to.deep.equal(await embedder.encode(['read it']));
  });

  it('cuts texts to the maxLength of the call, of the kind, or of the model', async () => {
    const [long, cut] = ['abcdefgh', 'abc'];
    const short = await embedder.encode([cut]);
    expect(await embedder.encode([long], { maxLength: 5 })).to.deep.equal(short);
    expect(await embedder.encode([long])).to.not.deep.equal(short);
    await using limited = await Embedder.load(writeTinyModel(), { queryMaxLength: 5 });
    expect(await limited.encode([long], { kind: 'query' })).to.deep.equal(short);
    expect(await limited.encode([long])).to.not.deep.equal(short);
  });

  it('pools and scales as asked', async () => {
    const directory = writeTinyModel();
    await using first = await Embedder.load(directory, { pooling: 'first-token' });
    await using raw = await Embedder.load(directory, { normalize: false });
    const [unit, other, long] = await Promise.all([embedder, first, raw].map((one) => one.encode(['some text'])));
    expect(norm(other!)).to.be.closeTo(1, 1e-5);
    expect(norm(other!.map((value, i) => value - unit![i]!))).to.be.above(0.01);
    expect(norm(long!)).to.not.be.closeTo(1, 0.1);
    expectClose(
      long!.map((value) => value / norm(long!)),
      unit!,
      { atol: 1e-6 },
    );
  });

  it('reports progress in texts', async () => {
    const done: number[] = [];
    await embedder.encode(randomTexts(3000), {
      kind: 'query',
      onProgress: (progress) => {
        expect(progress).to.include({ stage: 'encoding', total: 3000, unit: 'queries' });
        done.push(progress.done);
      },
    });
    expect(done.length).to.be.above(1);
    expect(done).to.deep.equal([...done].sort((a, b) => a - b));
    expect(done.at(-1)).to.equal(3000);
  });

  it('rejects with what onProgress throws, and goes on to serve others', async () => {
    const thrown = new Error('a reader that fails');
    const onProgress = () => {
      throw thrown;
    };
    expect(await rejection(embedder.encode(randomTexts(9000), { onProgress }))).to.equal(thrown);
    expect(await embedder.encode(['next'])).to.have.length(embedder.dimension);
  });

  it('serves calls that overlap, each with its own result', async () => {
    const texts = randomTexts(40);
    const alone = await embedder.encode(texts);
    const several = await Promise.all([
      embedder.encode(texts),
      embedder.encode(texts.slice(0, 5)),
      embedder.encode(texts),
    ]);
    expect(several[0]).to.deep.equal(alone);
    expectClose(several[1]!, alone.subarray(0, 5 * embedder.dimension), { atol: 1e-6 });
    expect(several[2]).to.deep.equal(alone);
  });

  it('names the first text that is no string, wherever it is', async () => {
    const texts = [...randomTexts(5000), 3 as unknown as string];
    expect(await rejection(embedder.encode(texts))).to.include({
      code: 'INVALID_ARGUMENT',
      message: 'Expected a string for texts[5000] but received 3.',
    });
    expect((await rejection(embedder.encode('text' as unknown as string[]))).message).to.equal(
      'Expected an array of strings for texts but received "text".',
    );
  });

  it('refuses kinds and options that there are not', async () => {
    expect((await rejection(embedder.encode(['a'], { kind: 'document' as 'query' }))).message).to.equal(
      `Expected 'query' or 'passage' for kind but received "document".`,
    );
    expect((await rejection(embedder.encode(['a'], { type: 'query' } as object))).message).to.equal(
      'Embedder.encode has no option "type"; there are kind, maxLength, signal, onProgress.',
    );
  });

  it('rejects with the reason of the signal, and goes on to serve others', async () => {
    const reason = new Error('no longer wanted');
    const stop = new AbortController();
    const work = embedder.encode(randomTexts(20_000), { signal: stop.signal, onProgress: () => stop.abort(reason) });
    const next = embedder.encode(['next']);
    expect(await rejection(work)).to.equal(reason);
    expect(await next).to.have.length(embedder.dimension);
    expect(await rejection(embedder.encode(['a'], { signal: AbortSignal.abort(reason) }))).to.equal(reason);
  });
});

describe('Embedder.dispose', () => {
  it('stops what runs and refuses what comes', async () => {
    const embedder = await Embedder.load(writeTinyModel());
    const running = rejection(embedder.encode(randomTexts(50_000)));
    const waiting = rejection(embedder.encode(['a']));
    await embedder.dispose();
    await embedder.dispose();
    for (const error of [await running, await waiting, await rejection(embedder.encode(['a']))]) {
      expect(error).to.include({
        code: 'DISPOSED',
        message: 'This Embedder has been disposed of and cannot be used again; load a new one.',
      });
    }
  });
});

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { cachedModel, resolveModel } from '../lib/models/hub.js';
import { hubFetch } from '../lib/models/hub-requests.js';
import { holderOf, tryLock } from '../lib/setup/lock.js';
import type { Progress } from '../lib/types.js';
import { home, hub, replaceHub, useHub } from './hub-home.js';
import { COMMIT, startHubServer } from './servers/hub.js';

const WEIGHTS = Buffer.alloc(300_000, 'weights');
const FILES = {
  'config.json': Buffer.from('{"model_type": "bert"}'),
  'tokenizer.json': Buffer.from('{}'),
  'modules.json': Buffer.from('[{"path": ""}, {"path": "1_Pooling"}]'),
  '1_Pooling/config.json': Buffer.from('{"pooling_mode_mean_tokens": true}'),
  'model.safetensors': WEIGHTS,
  'pytorch_model.bin': Buffer.from('a pickle'),
  'onnx/model.onnx': Buffer.from('other'),
  'README.md': Buffer.from('a card'),
};

describe('resolveModel', () => {
  useHub(FILES);
  let folder: string;
  const silent = { onProgress: () => {} };

  beforeEach(() => {
    folder = join(home, 'hub', 'models--test--model');
  });

  async function failure(work: Promise<unknown>): Promise<Error & { code?: string }> {
    return work.then(
      () => expect.fail('it did not reject'),
      (error) => error,
    );
  }

  const transfers = (file: string) => hub.requests.filter((request) => request.endsWith(`/${file}`)).length;

  it('gives a local directory back as it is, without asking anybody', async () => {
    expect(await resolveModel(home)).to.equal(home);
    expect(hub.requests).to.deep.equal([]);
  });

  it("lays the needed files out as Python's huggingface_hub does", async () => {
    const directory = await resolveModel('test/model', silent);
    expect(directory).to.equal(join(folder, 'snapshots', COMMIT));
    expect(await readFile(join(folder, 'refs', 'main'), 'utf8')).to.equal(COMMIT);
    expect(await readFile(join(directory, 'model.safetensors'))).to.deep.equal(WEIGHTS);
    expect(await readlink(join(directory, '1_Pooling', 'config.json'))).to.match(
      /^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/,
    );
    expect(await readlink(join(directory, 'model.safetensors'))).to.match(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect((await readdir(directory)).sort()).to.deep.equal(
      ['1_Pooling', 'config.json', 'model.safetensors', 'modules.json', 'tokenizer.json'].sort(),
    );
    expect(hub.requests.join()).to.not.match(/pytorch_model\.bin|onnx|README/);
  });

  it('transfers nothing again, and works without the Hub once it is complete', async () => {
    await resolveModel('test/model', silent);
    const count = transfers('model.safetensors');
    await resolveModel('test/model', silent);
    expect(transfers('model.safetensors')).to.equal(count);
    await hub.close();
    expect(await resolveModel('test/model', silent)).to.equal(join(folder, 'snapshots', COMMIT));
    process.env.HF_HUB_OFFLINE = '1';
    expect(await resolveModel('test/model', silent)).to.equal(join(folder, 'snapshots', COMMIT));
    expect(await cachedModel('test/model')).to.equal(join(folder, 'snapshots', COMMIT));
  });

  it('asks nobody when a commit is named that lies in the cache', async () => {
    await resolveModel('test/model', silent);
    const count = hub.requests.length;
    await resolveModel('test/model', { ...silent, revision: COMMIT });
    expect(hub.requests.length).to.equal(count);
  });

  it('continues a transfer that broke off where it stopped', async () => {
    hub.cutOff.set('model.safetensors', 1);
    const seen: Progress[] = [];
    const directory = await resolveModel('test/model', { onProgress: (progress) => seen.push(progress) });
    expect(await readFile(join(directory, 'model.safetensors'))).to.deep.equal(WEIGHTS);
    expect(seen.at(0)).to.include({ stage: 'download', done: 0, unit: 'bytes' });
    expect(seen.at(0)?.note).to.include('test/model').and.to.include(hub.url).and.to.include(folder);
    expect(seen.at(-1)?.done).to.equal(seen.at(-1)?.total);
    for (let i = 1; i < seen.length; i++) expect(seen[i]?.done).to.be.at.least(seen[i - 1]?.done ?? 0);
  });

  it('says what happened when every attempt breaks off, and goes on from there in the next run', async () => {
    hub.cutOff.set('model.safetensors', 99);
    const error = await failure(resolveModel('test/model', silent));
    expect(error.code).to.equal('NOT_FOUND');
    expect(error.message).to.include(`Could not get test/model from ${hub.url}: `).and.to.include(folder);
    expect(await cachedModel('test/model')).to.equal(null);
    const [partial] = (await readdir(join(folder, 'blobs'))).filter((name) => name.endsWith('.incomplete'));
    expect((await readFile(join(folder, 'blobs', String(partial)))).length).to.be.within(
      WEIGHTS.length / 2,
      WEIGHTS.length,
    );
    hub.cutOff.clear();
    const directory = await resolveModel('test/model', silent);
    expect(await readFile(join(directory, 'model.safetensors'))).to.deep.equal(WEIGHTS);
  });

  it('keeps nothing of a file whose hash is not the listed one', async () => {
    hub.damaged.add('model.safetensors');
    const error = await failure(resolveModel('test/model', silent));
    expect(error.message).to.match(/^Expected hash [0-9a-f]{64} for model\.safetensors but what came has [0-9a-f]{64}/);
    expect((await readdir(join(folder, 'blobs'))).filter((name) => name.length > 40)).to.deep.equal([]);
  });

  it('refuses a repository that has pickles only', async () => {
    const { 'model.safetensors': _, ...pickled } = FILES;
    await replaceHub(pickled);
    const error = await failure(resolveModel('test/model', silent));
    expect(error.code).to.equal('BAD_MODEL');
    expect(error.message).to.include('has no safetensors weights, only pytorch_model.bin, onnx/model.onnx');
    expect(transfers('pytorch_model.bin')).to.equal(0);
  });

  it('refuses a repository that holds an adapter, before anything is transferred', async () => {
    await replaceHub({ ...FILES, 'adapter_config.json': FILES['config.json'] });
    const error = await failure(resolveModel('test/model', silent));
    expect(error.code).to.equal('UNSUPPORTED');
    expect(error.message).to.include(`${hub.url}/test/model holds a PEFT adapter (adapter_config.json)`);
    expect(transfers('model.safetensors')).to.equal(0);
  });

  it('says of a gated repository how to get in', async () => {
    const error = await failure(resolveModel('test/gated', silent));
    expect(error.message).to.equal(
      `test/gated is gated: accept its terms on ${hub.url}/test/gated and set HF_TOKEN to a token of yours.`,
    );
  });

  it('names model and revision that the Hub does not have', async () => {
    const model = await failure(resolveModel('test/none', silent));
    expect(model).to.include({ code: 'NOT_FOUND' });
    expect(model.message).to.equal(
      `${hub.url} has no model "test/none", or it is private and HF_TOKEN is not set. Check the spelling.`,
    );
    const revision = await failure(resolveModel('test/model', { ...silent, revision: 'v9' }));
    expect(revision.message).to.include('has no revision "v9"');
  });

  it('does not ask the Hub when HF_HUB_OFFLINE is set', async () => {
    process.env.HF_HUB_OFFLINE = '1';
    const error = await failure(resolveModel('test/model', silent));
    expect(error).to.include({ code: 'NOT_FOUND' });
    expect(error.message).to.include('HF_HUB_OFFLINE is set').and.to.include(folder);
    expect(hub.requests).to.deep.equal([]);
  });

  it('sends the token, from HF_TOKEN or from the file that logging in writes', async () => {
    await writeFile(join(home, 'token'), 'hf_fromfile\n');
    await resolveModel('test/model', silent);
    expect([...hub.tokens]).to.deep.equal(['Bearer hf_fromfile']);
  });

  it("sends a mirror's token as it is, and shows it to nobody when it cannot be sent", async () => {
    process.env.HF_TOKEN = ' secret-of.a/mirror== ';
    const directory = await resolveModel('test/model', silent);
    expect(await readFile(join(directory, 'model.safetensors'))).to.deep.equal(WEIGHTS);
    expect([...hub.tokens]).to.deep.equal(['Bearer secret-of.a/mirror==']);
    process.env.HF_TOKEN = 'secret\nsecond';
    const error = await failure(resolveModel('test/model', silent));
    expect(error).to.include({ code: 'INVALID_ARGUMENT' });
    expect(error.message).to.include('for HF_TOKEN but received').and.to.not.include('secret');
  });

  it('sends the token to no other address than the endpoint', async () => {
    const other = await startHubServer(FILES);
    try {
      const repository = { name: 'test/model', revision: 'main', folder, endpoint: hub.url, token: 'secret' };
      const { fetch } = hubFetch(repository);
      await fetch(`${other.url}/test/model/resolve/${COMMIT}/config.json`);
      await fetch(`${hub.url}/test/model/resolve/${COMMIT}/config.json`);
      expect([...other.tokens]).to.deep.equal([]);
      expect([...hub.tokens]).to.deep.equal(['Bearer secret']);
    } finally {
      await other.close();
    }
  });

  it('lets one of several callers fetch a file and the others wait for it', async () => {
    hub.cutOff.set('model.safetensors', 1);
    const notes: string[] = [];
    const onProgress = ({ note = '' }: Progress) => notes.push(note);
    const directories = await Promise.all([1, 2, 3].map(() => resolveModel('test/model', { onProgress })));
    expect(new Set(directories).size).to.equal(1);
    expect(await readFile(join(String(directories[0]), 'model.safetensors'))).to.deep.equal(WEIGHTS);
    // A probe and the bytes, twice: the first transfer broke off.
    expect(transfers('model.safetensors')).to.equal(4);
    expect(notes).to.include('waiting for another process that fetches model.safetensors of test/model');
    const left = (await readdir(join(folder, 'blobs'))).filter((name) => name.includes('.'));
    expect(left).to.deep.equal([]);
    expect((await readdir(String(directories[0]))).sort()).to.deep.equal([
      '1_Pooling',
      'config.json',
      'model.safetensors',
      'modules.json',
      'tokenizer.json',
    ]);
  });

  it('stops waiting for another process with the reason of its signal', async () => {
    const blob = createHash('sha256').update(WEIGHTS).digest('hex');
    const lock = join(folder, 'blobs', `${blob}.listwise.lock`);
    await mkdir(join(folder, 'blobs'), { recursive: true });
    const held = tryLock(lock);
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = ({ note = '' }: Progress) => {
      if (note.startsWith('waiting')) controller.abort(reason);
    };
    expect(await failure(resolveModel('test/model', { onProgress, signal: controller.signal }))).to.equal(reason);
    expect(holderOf(lock)).to.include({ pid: process.pid });
    (held as { release: () => void }).release();
  });

  it('recognises names that are no Hub names and paths that are not there', async () => {
    expect((await failure(resolveModel('all-MiniLM-L6-v2'))).message).to.include(
      'give the owner as well, such as sentence-transformers/all-MiniLM-L6-v2',
    );
    expect((await failure(resolveModel('./no/such'))).message).to.include('there is no directory');
    expect((await failure(resolveModel('test/model', { revison: 'v1' } as object))).message).to.equal(
      'resolveModel has no option "revison"; did you mean "revision"?',
    );
    expect((await failure(resolveModel(undefined as unknown as string))).message).to.include('received undefined');
  });

  it('fetches what a half-filled cache lacks', async () => {
    const snapshot = join(folder, 'snapshots', COMMIT);
    await mkdir(join(folder, 'refs'), { recursive: true });
    await mkdir(snapshot, { recursive: true });
    await writeFile(join(folder, 'refs', 'main'), COMMIT);
    await writeFile(join(snapshot, 'config.json'), '{}');
    expect(await cachedModel('test/model')).to.equal(null);
    expect(await readFile(join(await resolveModel('test/model', silent), 'model.safetensors'))).to.deep.equal(WEIGHTS);
  });

  it('stops at once with the reason of its signal', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const work = resolveModel('test/model', {
      signal: controller.signal,
      onProgress: ({ done }) => {
        if (done > 0) controller.abort(reason);
      },
    });
    expect(await failure(work)).to.equal(reason);
    expect(await failure(resolveModel('test/model', { signal: controller.signal }))).to.equal(reason);
  });
});

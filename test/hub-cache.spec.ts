import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { cachedModel, resolveModel } from '../lib/models/hub.js';
import { home, hub, useHub } from './hub-home.js';
import { COMMIT } from './servers/hub.js';

const FILES = {
  'config.json': Buffer.from('{"model_type": "bert"}'),
  'tokenizer.json': Buffer.from('{}'),
  'model.safetensors': Buffer.alloc(1_200_000, 'weights'),
};

describe('resolveModel, by variables and without onProgress', () => {
  useHub(FILES);

  /** What is written to stderr meanwhile. */
  async function stderrOf(work: () => Promise<unknown>): Promise<string> {
    const { write } = process.stderr;
    let text = '';
    process.stderr.write = ((chunk: string | Uint8Array) => {
      text += chunk;
      return true;
    }) as typeof write;
    try {
      await work();
    } finally {
      process.stderr.write = write;
    }
    return text;
  }

  it('puts models into HF_HUB_CACHE, which goes before HF_HOME, and finds them there', async () => {
    process.env.HF_HUB_CACHE = join(home, 'elsewhere');
    const snapshot = join(home, 'elsewhere', 'models--test--model', 'snapshots', COMMIT);
    expect(await resolveModel('test/model', { onProgress: () => {} })).to.equal(snapshot);
    expect(existsSync(join(snapshot, 'model.safetensors'))).to.equal(true);
    expect(existsSync(join(home, 'hub'))).to.equal(false);
    process.env.HF_HUB_OFFLINE = '1';
    expect(await cachedModel('test/model')).to.equal(snapshot);
    delete process.env.HF_HUB_CACHE;
    expect(await cachedModel('test/model')).to.equal(null);
  });

  it('shows a download on stderr: what, from where to where, how large and how far; nothing where all is there', async () => {
    const stderr = await stderrOf(() => resolveModel('test/model'));
    const folder = join(home, 'hub', 'models--test--model');
    expect(stderr.split('\n')).to.deep.equal([
      `Downloading 3 files of test/model from ${hub.url} to ${folder}: 1.2 MB`,
      '  1.2 MB of 1.2 MB',
      '',
    ]);
    expect(await stderrOf(() => resolveModel('test/model'))).to.equal('');
  });
});

import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { canonicalJson, hashFile, hashModel } from '../lib/hashes.js';
import { Manifest } from '../lib/specialize/manifest.js';
import type { PartialWork } from '../lib/specialize/partial-work.js';
import { type Stage, type StageEvent, StageRunner } from '../lib/specialize/stage-runner.js';
import { type StageName, upTo } from '../lib/specialize/stages.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

describe('Manifest', () => {
  it('knows what builds on a stage, directly or through others, in the order in which it was begun', async () => {
    const manifest = await Manifest.open(join(temporaryDirectory(), 'manifest.json'));
    const needs: Record<string, string[]> = {
      ...{ corpus: [], embeddings: [], queries: ['corpus'], candidates: ['queries', 'embeddings'] },
      ...{ lists: ['candidates'], 'train.both.1': ['lists'], training: ['lists'], 'test.both.1': ['train.both.1'] },
    };
    for (const [name, names] of Object.entries(needs)) {
      const record = { complete: true, key: name, options: {}, inputs: {}, versions: {}, started: '' };
      await manifest.put(name, { ...record, needs: Object.fromEntries(names.map((need) => [need, need])) });
    }
    expect(manifest.dependents('lists')).to.deep.equal(['train.both.1', 'training', 'test.both.1']);
    expect(manifest.dependents('corpus')).to.not.include('embeddings');
    expect(manifest.dependents('embeddings')).to.deep.equal(Object.keys(needs).slice(3));
    expect(manifest.dependents('training')).to.deep.equal([]);
  });
});

describe('upTo', () => {
  it('is a stage and what it builds on, in order', () => {
    expect(upTo('queries')).to.deep.equal(['corpus', 'queries']);
    expect(upTo('candidates')).to.deep.equal(['corpus', 'embeddings', 'queries', 'candidates']);
    expect(upTo('evaluation')).to.have.length(8);
  });
});

describe('canonicalJson', () => {
  it('is the same for equal values, whatever the order of names', () => {
    expect(canonicalJson({ b: [1, { d: null, c: 'x' }], a: undefined })).to.equal('{"b":[1,{"c":"x","d":null}]}');
    expect(canonicalJson({ x: 1, a: 2 })).to.equal(canonicalJson({ a: 2, x: 1 }));
  });
});

describe('hashModel', () => {
  it('changes with the weights and the configuration, and with nothing else', async () => {
    const model = writeTinyModel();
    const before = await hashModel(model);
    await writeFile(join(model, 'README.md'), 'A card.');
    expect(await hashModel(model)).to.equal(before);
    const config = join(model, 'config.json');
    await writeFile(config, `${await readFile(config, 'utf8')} `);
    expect(await hashModel(model)).to.not.equal(before);
    expect(await hashModel(writeTinyModel(undefined, { seed: 2 }))).to.not.equal(before);
  });
});

describe('StageRunner', () => {
  let directory: string;
  let events: StageEvent[];

  beforeEach(async () => {
    directory = temporaryDirectory();
    events = [];
  });

  const manifest = () => Manifest.open(join(directory, 'manifest.json'));

  /** A stage that writes what it is told into `<name>.txt`. */
  const stage = (name: StageName, options: Stage['options'] = {}, work?: Stage['work']): Stage => ({
    name,
    options,
    inputs: { corpus: 'c0ffee' },
    outputs: [`${name}.txt`],
    work:
      work ??
      (async () => {
        await writeFile(join(directory, `${name}.txt`), JSON.stringify(options));
        return { written: 1 };
      }),
  });

  /** Runs stages as a new process would, from the manifest on disk. */
  const run = async (...stages: Stage[]) => {
    events = [];
    const runner = new StageRunner({ directory, manifest: await manifest(), onStage: (event) => events.push(event) });
    for (const planned of await runner.plan(stages)) await runner.run(planned);
    return events.map(({ stage: name, status }) => `${name} ${status}`);
  };

  it('does a stage once, and says what it counted both times', async () => {
    expect(await run(stage('corpus'))).to.deep.equal(['corpus started', 'corpus done']);
    expect(await run(stage('corpus'))).to.deep.equal(['corpus reused']);
    expect(events[0]).to.deep.include({ counts: { written: 1 } });
  });

  it('records options, inputs, versions, times, counts and the hashes of what was written', async () => {
    await run(stage('corpus', { seed: 3 }));
    const record = (await manifest()).get('corpus')!;
    expect(record).to.deep.include({ complete: true, options: { seed: 3 }, inputs: { corpus: 'c0ffee' }, needs: {} });
    expect(record.counts).to.deep.equal({ written: 1 });
    expect(record.versions).to.have.all.keys('listwise', 'node', 'torch');
    expect(Date.now() - Date.parse(record.started)).to.be.within(0, 60_000);
    expect(record.outputs!['corpus.txt']).to.match(/^[0-9a-f]{64}$/);
  });

  it('does a stage again when an option changed, with those that build on it, and says why', async () => {
    await run(stage('corpus', { size: 1 }), stage('queries'), stage('embeddings'));
    expect(await run(stage('corpus', { size: 2 }), stage('queries'), stage('embeddings'))).to.deep.equal([
      'corpus invalidated',
      'corpus started',
      'corpus done',
      'queries started',
      'queries done',
      'embeddings reused',
    ]);
    expect(events[0]).to.deep.include({ reason: 'size changed from 1 to 2', later: ['queries'] });
  });

  it('names inputs and defaults that changed', async () => {
    await run(stage('corpus', { size: 1 }));
    await run({ ...stage('corpus'), inputs: { corpus: 'other' } });
    expect(events[0]).to.deep.include({ reason: 'size changed from 1 to the default, the corpus changed' });
  });

  it('does a stage again whose file is gone or was changed', async () => {
    await run(stage('corpus'));
    await writeFile(join(directory, 'corpus.txt'), 'edited');
    await run(stage('corpus'));
    expect(events[0]).to.deep.include({ status: 'invalidated', reason: 'corpus.txt was changed' });
    await rm(join(directory, 'corpus.txt'));
    await run(stage('corpus'));
    expect(events[0]).to.deep.include({ status: 'invalidated', reason: 'corpus.txt is missing' });
  });

  it('goes on with a stage that failed, and keeps those before it', async () => {
    const failing = stage('queries', {}, () => Promise.reject(new Error('power cut')));
    expect((await rejection(run(stage('corpus'), failing))).message).to.equal('power cut');
    expect((await manifest()).get('queries')!.complete).to.equal(false);
    expect(await run(stage('corpus'), stage('queries'))).to.deep.equal([
      'corpus reused',
      'queries continued',
      'queries started',
      'queries done',
    ]);
  });

  describe('partial work', () => {
    const interrupted = (options: Stage['options']) =>
      stage('queries', options, async ({ directory: place }) => {
        await writeFile(join(place, 'replies.jsonl'), '{}\n');
        throw new Error('power cut');
      });

    /** What a stage finds of an earlier process' work. */
    const found = async (options: Stage['options']): Promise<string[]> => {
      let files: string[] = [];
      const look = async ({ directory: place }: PartialWork) => {
        files = await readdir(place);
        return stage('queries', options).work({ directory: place });
      };
      await run(stage('corpus'), stage('queries', options, look));
      return files;
    };

    it('is there for the next process, where options are the same, and gone when the stage is done', async () => {
      await rejection(run(stage('corpus'), interrupted({ seed: 1 })));
      expect(await found({ seed: 1 })).to.deep.equal(['replies.jsonl']);
      expect(await readdir(directory)).to.have.members(['corpus.txt', 'queries.txt', 'manifest.json']);
    });

    it('is thrown away where an option changed', async () => {
      await rejection(run(stage('corpus'), interrupted({ seed: 1 })));
      expect(await found({ seed: 2 })).to.deep.equal([]);
      await rejection(run(stage('corpus'), interrupted({ seed: 3 })));
      await rejection(
        run(
          stage('corpus'),
          stage('queries', { seed: 4 }, () => Promise.reject(new Error('no'))),
        ),
      );
      expect(await found({ seed: 3 })).to.deep.equal([]);
    });

    it('is thrown away where an earlier stage was done again', async () => {
      await rejection(run(stage('corpus', { size: 1 }), interrupted({})));
      await run(stage('corpus', { size: 2 }));
      let files: string[] | undefined;
      const look = async ({ directory: place }: PartialWork) => {
        files = await readdir(place);
        throw new Error('seen');
      };
      await rejection(run(stage('corpus', { size: 2 }), stage('queries', {}, look)));
      expect(files).to.deep.equal([]);
    });
  });
});

describe('hashFile', () => {
  it("rejects with the signal's reason, at the start and half-way", async () => {
    const file = join(temporaryDirectory(), 'zeros');
    await writeFile(file, Buffer.alloc(1 << 25));
    const reason = new Error('enough');
    expect(await rejection(hashFile(file, AbortSignal.abort(reason)))).to.equal(reason);
    const controller = new AbortController();
    const running = rejection(hashFile(file, controller.signal));
    setImmediate(() => controller.abort(reason));
    expect(await running).to.equal(reason);
  });
});

describe('Manifest', () => {
  it('refuses a file that is none, and says what to do', async () => {
    const file = join(temporaryDirectory(), 'manifest.json');
    await writeFile(file, '{"format": 1, ');
    const broken = await rejection(Manifest.open(file));
    expect(broken.code).to.equal('BAD_DATA');
    expect(broken.message).to.match(
      /manifest\.json: Expected the manifest of a run but the parser says: .*remove this one/,
    );
    await writeFile(file, '{"format": 9, "stages": {}}');
    expect((await rejection(Manifest.open(file))).message).to.contain('Expected the manifest of a run, of format 1');
  });
});

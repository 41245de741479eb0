import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { type EncodeTexts, retrieve, type TextEmbedder } from '../lib/evaluation/retrieval.js';
import { Random } from '../lib/random.js';
import type { Passage, Progress } from '../lib/types.js';
import { rejection } from './rejection.js';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const dimension = 8;

/** A direction for each text, decided by the text alone. */
class Directions implements TextEmbedder {
  readonly dimension = dimension;

  async encode(texts: readonly string[], _: EncodeTexts): Promise<Float32Array> {
    const rows = texts.flatMap((text) => {
      const random = Random.for(1, text);
      return Array.from({ length: dimension }, () => random.float() - 0.5);
    });
    return Float32Array.from(rows);
  }
}

describe('retrieve', () => {
  const passages = Array.from({ length: 20 }, (_, i) => ({ id: `p${i}`, title: '', text: `passage ${i}` }));
  const queries = ['p4', 'q1', 'q2', 'p19'].map((id) => ({ id, text: `query ${id}` }));

  it('finds the same over windows of 3 as over one window, whatever the depth', async () => {
    for (const k of [1, 4, 7, 100]) {
      const whole = await retrieve(new Directions(), { queries, corpus: passages }, { k });
      const windows = await retrieve(new Directions(), { queries, corpus: passages }, { k, window: 3 });
      expect(windows).to.deep.equal(whole);
    }
    const all = await retrieve(new Directions(), { queries, corpus: passages }, { window: 3 });
    expect(all.get('q1')!.map(({ id }) => id)).to.have.members(passages.map(({ id }) => id));
    expect(all.get('p4')!.map(({ id }) => id)).to.not.include('p4');
    // The best of q1 lie in more windows than one, else offsets would not matter.
    const places = all
      .get('q1')!
      .slice(0, 4)
      .map(({ id }) => Math.floor(Number(id.slice(1)) / 3));
    expect(new Set(places).size).to.be.above(1);
  });

  it('holds no more than a window of texts, and reads no further than that', async () => {
    let read = 0;
    async function* corpus(): AsyncGenerator<Passage> {
      for (const passage of passages) {
        read += 1;
        yield passage;
      }
    }
    const given: WeakRef<readonly string[]>[] = [];
    const sizes: number[] = [];
    class Watching extends Directions {
      override async encode(texts: readonly string[], options: EncodeTexts): Promise<Float32Array> {
        if (options.kind === 'query') return super.encode(texts, options);
        given.push(new WeakRef(texts));
        sizes.push(texts.length);
        expect(read).to.equal(sizes.reduce((sum, size) => sum + size, 0));
        // What a WeakRef was asked for lives until the turn of the event loop ends.
        await setImmediate();
        collectGarbage();
        expect(given.filter((one) => one.deref()).length, 'windows that are held').to.equal(1);
        return super.encode(texts, options);
      }
    }
    const progress: Progress[] = [];
    const onProgress = (one: Progress) => progress.push(one);
    const searched = { queries, corpus: corpus(), size: passages.length };
    await retrieve(new Watching(), searched, { k: 5, window: 3, onProgress });
    expect(sizes).to.deep.equal([3, 3, 3, 3, 3, 3, 2]);
    const searching = progress.filter(({ stage }) => stage === 'searching');
    expect(searching.map(({ done }) => done)).to.deep.equal(
      [...searching.map(({ done }) => done)].sort((a, b) => a - b),
    );
    expect(new Set(searching.map(({ total }) => total))).to.deep.equal(new Set([20]));
  });

  it('refuses a window that is none', async () => {
    const refused = retrieve(new Directions(), { queries, corpus: passages }, { window: 0 });
    expect((await rejection(refused)).message).to.contain('for window but received 0');
  });
});

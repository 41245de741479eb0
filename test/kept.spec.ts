import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { KeptEncoder } from '../lib/candidates/kept-encoder.js';
import type { EncodeTexts } from '../lib/evaluation/retrieval.js';
import { keptRun } from '../lib/specialize/kept-run.js';
import type { LongWork, Progress, Query, Run } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

describe('KeptEncoder', () => {
  const texts = Array.from({ length: 5000 }, (_, i) => `text ${i}`);

  /** Encodes a text as its length and number, and fails after so many calls. */
  const encoder = (calls = Number.POSITIVE_INFINITY) => {
    const asked: number[] = [];
    const encode = async (given: readonly string[], { kind, onProgress }: EncodeTexts) => {
      if (asked.length >= calls) throw new Error('power cut');
      asked.push(given.length);
      onProgress?.({ stage: 'encoding', done: given.length, total: given.length, unit: 'passages' });
      return Float32Array.from(given.flatMap((text) => [kind.length, Number(text.slice(5)) / 3]));
    };
    return { asked, encoder: { dimension: 2, encode } };
  };

  it('encodes each shard once, whatever happens between, and gives the same numbers', async () => {
    const directory = temporaryDirectory();
    const stopped = encoder(2);
    const given = { kind: 'passage' } as const;
    expect((await rejection(new KeptEncoder(stopped.encoder, directory).encode(texts, given))).message).to.equal(
      'power cut',
    );
    expect(stopped.asked).to.deep.equal([2048, 2048]);
    const next = encoder();
    const reports: Progress[] = [];
    const onProgress = (one: Progress) => reports.push(one);
    const kept = await new KeptEncoder(next.encoder, directory).encode(texts, { ...given, onProgress });
    expect(next.asked).to.deep.equal([904]);
    expect(reports).to.deep.equal([{ stage: 'encoding', done: 5000, total: 5000, unit: 'passages' }]);
    expect(kept).to.deep.equal(await encoder().encoder.encode(texts, given));
    expect(kept[9999]).to.equal(Math.fround(4999 / 3));
  });

  it('knows queries from passages, and texts from others', async () => {
    const directory = temporaryDirectory();
    const { asked, encoder: plain } = encoder();
    const kept = new KeptEncoder(plain, directory);
    await kept.encode(texts.slice(0, 10), { kind: 'passage' });
    await kept.encode(texts.slice(0, 10), { kind: 'query' });
    await kept.encode(texts.slice(1, 11), { kind: 'query' });
    await kept.encode(texts.slice(0, 10), { kind: 'query' });
    expect(asked).to.deep.equal([10, 10, 10]);
  });
});

describe('keptRun', () => {
  const queries = Array.from({ length: 2500 }, (_, i): Query => ({ id: `q${i}`, text: '' }));

  const searcher = (blocks = Number.POSITIVE_INFINITY) => {
    const asked: [number, number][] = [];
    const search = async (block: readonly Query[], start: number, { onProgress }: LongWork): Promise<Run> => {
      if (asked.length >= blocks) throw new Error('power cut');
      asked.push([start, block.length]);
      onProgress?.({ stage: 'searching', done: 1, total: block.length, unit: 'queries' });
      return new Map(block.map(({ id }, i) => [id, i === 0 ? [] : [{ id: 'p', score: (start + i) / 7 }]]));
    };
    return { asked, search };
  };

  it('searches for each block once, and gives what an uninterrupted search gives, empty rankings too', async () => {
    const partial = { directory: temporaryDirectory() };
    const stopped = searcher(1);
    await rejection(keptRun(queries, { name: 'dense', partial, search: stopped.search }));
    const next = searcher();
    const done: number[] = [];
    const onProgress = (one: Progress) => done.push(one.done, one.total);
    const run = await keptRun(queries, { name: 'dense', partial, search: next.search, onProgress });
    expect(next.asked).to.deep.equal([
      [1024, 1024],
      [2048, 452],
    ]);
    expect(done).to.deep.equal([1025, 2500, 2049, 2500]);
    rmSync(partial.directory, { recursive: true });
    const whole = await keptRun(queries, { name: 'dense', partial, search: searcher().search });
    expect([...run]).to.deep.equal([...whole]);
    expect(run.get('q1024')).to.deep.equal([]);
    await keptRun(queries, { name: 'bm25', partial, search: searcher().search });
    expect(readdirSync(partial.directory)).to.have.length(6);
    expect(readdirSync(join(partial.directory))).to.include('bm25-2048.jsonl');
  });
});

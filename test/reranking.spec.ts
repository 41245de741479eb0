import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { runCommandLine } from '../lib/cli/program.js';
import { CrossEncoder, compare, evaluate, type PairGroup, passageText, readBeir, readTrecRun } from '../lib/index.js';
import type { Progress } from '../lib/types.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { writeCollection } from './tiny-run.js';

const scorer = fileURLToPath(new URL('fixtures/parity/cross-encoders/bert', import.meta.url));
const model = writeTinyModel();
const data = writeCollection();

/** Scores a passage by how many letters it has, so that the longest comes first. */
const byLength = {
  calls: 0,
  async score(groups: readonly PairGroup[]) {
    this.calls += 1;
    return groups.flatMap(({ passages }) => passages.map((passage) => passage.length));
  },
};

async function run(...args: string[]) {
  let stdout = '';
  let stderr = '';
  const streams = {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  };
  const code = await runCommandLine(args, streams);
  return { code, stdout, stderr };
}

describe('evaluate with rerank', () => {
  it("puts each query's best passages in the scorer's order, and leaves those below as they were", async () => {
    const { corpus } = await readBeir(data);
    const lengths = new Map(corpus.map((passage) => [passage.id, passageText(passage).length]));
    const { run: reranked, retrieved, measures } = await evaluate({ model, data, rerank: byLength, rerankDepth: 10 });
    expect(reranked.size).to.equal(5);
    expect(retrieved!.measures['nDCG@10']).to.not.equal(measures['nDCG@10']);
    for (const [query, ranking] of reranked) {
      const before = retrieved!.run.get(query)!.map(({ id }) => id);
      const ids = ranking.map(({ id }) => id);
      const byLetters = [...before.slice(0, 10)].sort((a, b) => lengths.get(b)! - lengths.get(a)!);
      expect(ids.slice(0, 10)).to.deep.equal(byLetters);
      expect(ids.slice(10)).to.deep.equal(before.slice(10));
      expect(ids).to.have.length(60);
      const scores = ranking.map(({ score }) => score);
      expect(scores.every((score, i) => i === 0 || score <= scores[i - 1]!)).to.equal(true);
    }
    expect(measures['R@100']).to.equal(retrieved!.measures['R@100']);
  });

  it('loads a cross-encoder by name, and takes its logits', async () => {
    const stages: Progress[] = [];
    const onProgress = (progress: Progress) => stages.push(progress);
    const { run: reranked, retrieved } = await evaluate({ model, data, rerank: scorer, rerankDepth: 5, onProgress });
    const reranking = stages.filter(({ stage }) => stage === 'reranking');
    expect(reranking.at(-1)).to.deep.include({ done: 25, total: 25, unit: 'pairs' });
    const { corpus, queries } = await readBeir(data);
    await using own = await CrossEncoder.load(scorer, { activation: 'identity' });
    const [{ id, text }] = queries as [(typeof queries)[number]];
    const found = retrieved!.run.get(id)!.slice(0, 5);
    const passages = found.map((one) => passageText(corpus.find((passage) => passage.id === one.id)!));
    const expected = await own.score([{ query: text, passages }]);
    const top = reranked.get(id)!.slice(0, 5);
    expect(top.map(({ score }) => score)).to.deep.equal([...expected].sort((a, b) => b - a));
    expect(top[0]!.id).to.equal(found[expected.indexOf(Math.max(...expected))]!.id);
  });

  it('refuses what reranks nothing, before any work', async () => {
    const messageOf = async (change: object) => (await rejection(evaluate({ model, data, ...change }))).message;
    expect(await messageOf({ rerankDepth: 5 })).to.equal(
      'Expected a cross-encoder beside rerankDepth for rerank but received undefined.',
    );
    expect(await messageOf({ rerank: byLength, rerankDepth: 0 })).to.equal(
      'Expected a whole number from 1 for rerankDepth but received 0.',
    );
    expect(await messageOf({ rerank: 3 })).to.match(
      /^Expected a cross-encoder's directory .* for rerank but received 3\.$/,
    );
    expect(await messageOf({ rerank: model })).to.match(/this is an embedding model and no cross-encoder/);
    expect(await messageOf({ rerank: 'nowhere' })).to.match(/ for rerank but received "nowhere"/);
    expect(await messageOf({ rerank: scorer, rerankMaxLength: 9999 })).to.match(
      /^Expected at most \d+ tokens, which is what .*bert can read, for rerankMaxLength but received 9999\.$/,
    );
    expect(await messageOf({ model: scorer })).to.match(/is a BertForSequenceClassification: a cross-encoder or /);
  });

  it('takes no order from a scorer that lacks scores', async () => {
    const scoring = (score: (pairs: number) => number[]) => ({
      score: async (groups: readonly PairGroup[]) => score(groups.flatMap(({ passages }) => passages).length),
    });
    const messageOf = async (score: (pairs: number) => number[]) =>
      (await rejection(evaluate({ model, data, rerank: scoring(score), rerankDepth: 4 }))).message;
    expect(await messageOf(() => [1, 2])).to.equal('Expected of the reranker a score for each of 20 pairs but came 2.');
    expect(await messageOf((pairs) => Array(pairs).fill(1).with(7, Number.NaN))).to.equal(
      'Expected of the reranker a score for each of 20 pairs but that of pair 7 is NaN.',
    );
  });

  it('names a query that leaves no room for passages', async () => {
    const { corpus } = await readBeir(data);
    const queries = [
      { id: 'short', text: 'a b' },
      { id: 'endless', text: 'x y '.repeat(400) },
    ];
    const qrels = new Map(queries.map(({ id }) => [id, new Map([['p1', 1]])]));
    const refused = await rejection(evaluate({ model, data: { corpus, queries, qrels }, rerank: scorer }));
    expect(refused.message).to.match(/^The query "endless" leaves no room for a passage .* raise rerankMaxLength if /);
    expect(refused.code).to.equal('BAD_DATA');
  });

  it('stops when aborted', async () => {
    const reason = new Error('enough');
    const stop = new AbortController();
    const onProgress = ({ stage }: Progress) => stage === 'reranking' && stop.abort(reason);
    const options = { model, data, rerank: scorer, signal: stop.signal, onProgress };
    expect(await rejection(evaluate(options))).to.equal(reason);
  });
});

describe('compare with rerank', () => {
  it('compares a base with itself reranked, and searches once for both', async () => {
    let encoded = 0;
    const { Embedder } = await import('../lib/embedder.js');
    await using embedder = await Embedder.load(model);
    const counting = {
      dimension: embedder.dimension,
      encode: (texts: readonly string[], options: object) => {
        encoded += texts.length;
        return embedder.encode(texts, options);
      },
    };
    byLength.calls = 0;
    const comparison = await compare({
      base: { name: 'base', model: counting },
      others: [{ name: 'reranked', model: counting, rerank: byLength, rerankDepth: 10 }],
      ...{ data, measures: ['nDCG@10'], resamples: 100 },
    });
    expect([encoded, byLength.calls]).to.deep.equal([65, 1]);
    const { measures } = await evaluate({ model, data, rerank: byLength, rerankDepth: 10 });
    expect(comparison.sets[0]!.means['reranked']!['nDCG@10']).to.equal(measures['nDCG@10']);
    expect(comparison.differences[0]).to.include({ system: 'reranked', measure: 'nDCG@10' });
  });

  it('looks at every cross-encoder before it runs anything', async () => {
    let asked = 0;
    const counting = { dimension: 2, encode: async () => Float32Array.of(++asked) };
    const others = [{ name: 'wrong', model: counting, rerank: model }];
    const refused = await rejection(compare({ base: { name: 'base', model: counting }, others, data }));
    expect(refused.message).to.match(/this is an embedding model and no cross-encoder/);
    expect(asked).to.equal(0);
  });

  it('reranks a run of a file where there is a collection, and says so where there is none', async () => {
    const file = join(temporaryDirectory(), 'base.trec');
    writeFileSync(
      file,
      ['t7', 't21', 't33', 't45', 't59'].map((id) => `${id} Q0 p1 1 2 x\n${id} Q0 p2 2 1 x\n`).join(''),
    );
    const others = [{ run: file, rerank: scorer }];
    const comparison = await compare({ base: file, others, data, measures: ['P@2'], resamples: 100 });
    expect(comparison.others).to.deep.equal([`${file} + ${scorer}`]);
    const qrels = join(data, 'qrels', 'test.tsv');
    expect((await rejection(compare({ base: file, others, qrels }))).message).to.equal(
      `Expected a collection to run models on for data but received undefined; ${file} + ${scorer} is to be reranked.`,
    );
    writeFileSync(file, 't7 Q0 nowhere 1 2 x\n');
    expect((await rejection(compare({ base: file, others, data }))).message).to.equal(
      `${data}: Expected the passages of the run to rerank but "nowhere" is not in the corpus.`,
    );
  });
});

describe('--rerank', () => {
  it('shows both rankings of evaluate, and writes them', async () => {
    const directory = temporaryDirectory();
    const [after, before] = [join(directory, 'reranked.trec'), join(directory, 'retrieved.trec')];
    const files = ['--save-run', after, '--save-retrieved', before];
    const args = ['evaluate', '--model', model, '--data', data, '--rerank', scorer, '--rerank-depth', '10', '--quiet'];
    const { code, stdout, stderr } = await run(...args, ...files);
    expect(code, stderr).to.equal(0);
    const [head, first] = stdout.split('\n');
    expect(head).to.match(/^ +retrieved {2}reranked$/);
    expect(first).to.match(/^nDCG@10 +0\.\d{4} +0\.\d{4}$/);
    const json = JSON.parse((await run(...args, '--json')).stdout);
    expect(first!.split(/ +/).slice(1)).to.deep.equal(
      [json.retrieved.measures['nDCG@10'], json['nDCG@10']].map((value) => value.toFixed(4)),
    );
    const [one, other] = [await readTrecRun(after), await readTrecRun(before)];
    expect([...one.keys()]).to.deep.equal([...other.keys()]);
    expect(readFileSync(after, 'utf8')).to.not.equal(readFileSync(before, 'utf8'));
  });

  it('shows both on several sets, and their means', async () => {
    const other = writeCollection({ seed: 5 });
    const args = ['evaluate', '--model', model, '--data', data, other, '--rerank', scorer, '--measures', 'nDCG@10'];
    const { stdout } = await run(...args, '--quiet');
    const names = stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.replace(/ +[\d.]+$/, ''));
    const three = [data, other, 'mean'];
    expect(names).to.deep.equal([
      ...three.map((one) => `${one}, retrieved`),
      ...three.map((one) => `${one}, reranked`),
    ]);
    const json = JSON.parse((await run(...args, '--json')).stdout);
    expect(json.sets[0].retrieved.measures).to.have.all.keys('nDCG@10');
    expect(json.retrieved.mean['nDCG@10']).to.not.equal(json.mean['nDCG@10']);
  });

  it('has compare test what reranking gives', async () => {
    const args = [
      'compare',
      '--base',
      model,
      '--rerank',
      scorer,
      '--data',
      data,
      '--measures',
      'nDCG@10',
      '--resamples',
      '100',
    ];
    const { code, stdout } = await run(...args, '--json');
    expect(code).to.equal(0);
    expect(JSON.parse(stdout).others).to.deep.equal([`${model} + ${scorer}`]);
    const twice = await run('compare', '--base', model, '--rerank', scorer, scorer, '--data', data);
    expect(twice.stderr).to.include(`--rerank names ${scorer} twice; give each cross-encoder once.`);
    const bare = await run('compare', '--base', model, '--data', data);
    expect(bare).to.include({ code: 2 });
    expect(bare.stderr).to.include('compare needs --others, --rerank, or both.');
    const depth = await run('compare', '--base', model, '--others', 'x', '--data', data, '--rerank-depth', '3');
    expect(depth.stderr).to.include('--rerank-depth and --rerank-max-length go with --rerank.');
  });
});

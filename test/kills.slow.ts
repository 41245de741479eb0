import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { killRepeatedly } from './killed-run.js';
import { jsonl, tinyRun } from './tiny-run.js';

const cranfield = join(import.meta.dirname, '..', 'examples', 'cranfield');
const PASSAGES = 400;

const records = (file: string) =>
  readFileSync(join(cranfield, file), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** The first abstracts of Cranfield with their written and judged queries. */
function cutOfCranfield(): string {
  const directory = temporaryDirectory();
  const corpus = records('corpus.jsonl').slice(0, PASSAGES);
  const ids = new Set(corpus.map(({ _id }) => _id));
  const [header, ...qrels] = readFileSync(join(cranfield, 'qrels', 'test.tsv'), 'utf8')
    .trimEnd()
    .split('\n');
  const kept = qrels.filter((line) => ids.has(line.split('\t')[1]));
  const judged = new Set(kept.map((line) => line.split('\t')[0]));
  mkdirSync(join(directory, 'qrels'));
  writeFileSync(join(directory, 'corpus.jsonl'), jsonl(corpus));
  writeFileSync(join(directory, 'qrels', 'test.tsv'), `${[header, ...kept].join('\n')}\n`);
  writeFileSync(join(directory, 'queries.jsonl'), jsonl(records('queries.jsonl').filter(({ _id }) => judged.has(_id))));
  const written = records('written-queries.jsonl').filter(({ passage }) => ids.has(passage));
  writeFileSync(join(directory, 'written.jsonl'), jsonl(written));
  return directory;
}

describe('specialize, killed thirty times', function () {
  this.timeout(3_600_000);

  it('gives the same files as a run that nobody stopped, on a cut of Cranfield', async () => {
    const collection = cutOfCranfield();
    const places = { collection, model: writeTinyModel(), data: collection };
    const loose = { depth: 200, maxSourceRank: 200, minCandidates: 10, listLength: 8, passageMaxLength: 40 };
    const options = tinyRun({ ...places, ...loose, retrievers: ['dense', 'bm25'], maxSteps: 12, evaluateEvery: 4 });
    const where = await killRepeatedly(options, 30, 7);
    const stages = new Set(where.map((line) => line.split(' ')[0]));
    console.log(`      killed at: ${where.join(', ')}`);
    expect(where).to.have.length(30);
    expect(stages.size, [...stages].join(', ')).to.be.above(4);
  });
});

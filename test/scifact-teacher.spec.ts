import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { root } from '../lib/setup/paths.js';
import { randomTexts, temporaryDirectory, writeJson, writeTinyModel } from './helpers.js';
import { jsonl } from './tiny-run.js';

const PASSAGES = 45;
const SOURCES = 15;
const LENGTH = 256;

/**
 * A BEIR directory whose queries are parts of passages: judged ones of both splits, and written ones. A tiny model can
 * learn no more than to like passages with a letter that few have: judged and written for are those with z, most often
 * the one with the most of it, so that a teacher that likes z has lists.
 */
function writeData(): string {
  const directory = temporaryDirectory();
  const texts = randomTexts(PASSAGES, { longest: 12, seed: 8 }).map((text, i) => {
    const plain = text.replaceAll('z', 'y');
    return i < SOURCES ? `${plain} ${'zzz '.repeat(SOURCES - i)}number` : `${plain} ${'abc '.repeat(i % 9)}number`;
  });
  const part = (i: number, from: number, count: number) => {
    const words = texts[i]!.split(' ');
    return [...words, ...words]
      .slice(from % words.length)
      .slice(0, count)
      .join(' ');
  };
  mkdirSync(join(directory, 'qrels'));
  writeFileSync(join(directory, 'corpus.jsonl'), jsonl(texts.map((text, i) => ({ _id: `p${i}`, title: '', text }))));
  const written = Array.from({ length: 60 }, (_, n) => {
    const source = n % 2 ? 0 : (n / 2) % SOURCES;
    return { passage: `p${source}`, type: 'web', query: `${part(source, n, 6)} ${'abcdefghij'[n % 10]}` };
  });
  writeFileSync(join(directory, 'written.jsonl'), jsonl(written));
  const judged = written.map(({ passage, query }, n) => ({ _id: `q${n}`, text: query, passage }));
  writeFileSync(join(directory, 'queries.jsonl'), jsonl(judged.map(({ _id, text }) => ({ _id, text }))));
  for (const [split, from, to] of [
    ['train', 0, 50],
    ['test', 50, 60],
  ] as const) {
    const lines = judged.slice(from, to).map(({ _id, passage }) => `${_id}\t${passage}\t1`);
    writeFileSync(join(directory, 'qrels', `${split}.tsv`), `query-id\tcorpus-id\tscore\n${lines.join('\n')}\n`);
  }
  return directory;
}

/** A tiny model that reads as much as the program gives it. */
function writeLongModel(): string {
  const model = writeTinyModel(undefined, { config: { max_position_embeddings: LENGTH } });
  const tokenizer = join(model, 'tokenizer_config.json');
  writeJson(tokenizer, { ...JSON.parse(readFileSync(tokenizer, 'utf8')), model_max_length: LENGTH });
  return model;
}

/** The program as it is, but for the library, which is taken from its sources: what was compiled may be older. */
function writeProgram(): string {
  const program = readFileSync(join(root, 'examples', 'scifact-teacher', 'run.js'), 'utf8');
  const file = join(temporaryDirectory(), 'run.mjs');
  const library = pathToFileURL(join(root, 'lib', 'index.ts')).href;
  expect(program).to.contain("'../../dist/index.js'");
  writeFileSync(file, program.replace("'../../dist/index.js'", JSON.stringify(library)));
  return file;
}

/** Runs the program in a process, and interrupts it as soon as it has written `until`. */
function run(program: string, args: string[], until?: string) {
  const child = spawn(process.execPath, ['--import=tsx', program, ...args], { cwd: root });
  const written = { stdout: '', stderr: '' };
  child.stderr.on('data', (part) => {
    written.stderr += part;
  });
  child.stdout.on('data', (part) => {
    written.stdout += part;
    if (until !== undefined && written.stdout.includes(until)) child.kill('SIGINT');
  });
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, ...written }));
  });
}

describe('examples/scifact-teacher', function () {
  this.timeout(240_000);
  let [program, data, model] = ['', '', ''];
  const quick = ['--epochs', '8', '--learning-rate', '5e-3', '--max-length', '80', '--list-length', '4'];

  before(() => {
    [program, data, model] = [writeProgram(), writeData(), writeLongModel()];
  });

  it('trains on judged queries, and measures what reranking gives', async () => {
    const output = join(temporaryDirectory(), 'run');
    const { code, stdout, stderr } = await run(program, [
      '--data',
      data,
      '--model',
      model,
      '--output',
      output,
      ...quick,
    ]);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/^lists: \d+ to train on, \d+ to stop by, \d+ queries dropped\ncross-encoder: \d+ steps, /);
    expect(stdout).to.match(/nDCG@10/);
    expect(stdout).to.not.contain('Taught by');
    expect(statSync(join(output, 'reranking.json')).size).to.be.above(100);
  });

  it('goes on where it was interrupted, on written queries, and has both teachers teach', async () => {
    const output = join(temporaryDirectory(), 'run');
    const given = ['--data', data, '--queries', join(data, 'written.jsonl'), '--model', model];
    const args = [...given, '--output', output, ...quick, '--specialize'];
    const stopped = await run(program, args, 'cross-encoder: ');
    expect(stopped.code, stopped.stderr).to.equal(130);
    expect(stopped.stderr).to.contain('Stopped. The same command goes on from here.');
    const trained = statSync(join(output, 'cross-encoder', 'model', 'model.safetensors')).mtimeMs;
    const { code, stdout, stderr } = await run(program, args);
    expect(code, stderr).to.equal(0);
    // The lists are not made again, nor is the cross-encoder trained again.
    expect(stdout).to.match(/^cross-encoder: \d+ steps, loss on dev /);
    expect(statSync(join(output, 'cross-encoder', 'model', 'model.safetensors')).mtimeMs).to.equal(trained);
    expect(stdout.match(/^Taught by .*:$/gm)).to.deep.equal(['Taught by fused:', 'Taught by cross-encoder:']);
    for (const name of ['fused', 'cross-encoder']) {
      const { stages } = JSON.parse(readFileSync(join(output, `specialized-${name}`, 'manifest.json'), 'utf8'));
      expect(stages.promotion).to.include({ complete: true });
    }
  });

  it('says what it needs', async () => {
    const { code, stderr } = await run(program, []);
    expect(code).to.equal(2);
    expect(stderr).to.match(/^Give --data, a directory with corpus\.jsonl/);
  });
});

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Context } from 'mocha';
import { writeQueries } from '../lib/queries/write-queries.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
const main = fileURLToPath(new URL('../lib/cli/main.ts', import.meta.url));
const lines = (file: string): any[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

describe('queries by a GGUF file', function () {
  this.timeout(120_000);
  /** A directory whose node_modules has node-llama-cpp. */
  const llama = process.env.LISTWISE_TEST_LLAMA;
  const corpus = join(temporaryDirectory(), 'corpus.jsonl');
  let gguf: string;

  before(() => {
    const passages = ['wings lift and drag', 'plates take heat', 'jets hiss'];
    writeFileSync(corpus, passages.map((text, i) => JSON.stringify({ _id: `p${i}`, text })).join('\n'));
  });

  /** Skips, and says why, where the packages are not there. */
  function needLlama(test: Context): void {
    const skip = (why: string) => {
      test.test!.title += ` (skipped: ${why})`;
      test.skip();
    };
    if (!llama || !existsSync(join(llama, 'node_modules', 'node-llama-cpp'))) {
      return skip('LISTWISE_TEST_LLAMA names no directory with node-llama-cpp');
    }
    if (gguf) return;
    const file = join(temporaryDirectory(), 'tiny.gguf');
    const program = fileURLToPath(new URL('fixtures/gguf/tiny.py', import.meta.url));
    const { status, stderr } = spawnSync(python, [program, file], { encoding: 'utf8' });
    if (status !== 0)
      return skip(`${python} has no gguf; set LISTWISE_TEST_PYTHON. ${stderr.trim().split('\n').at(-1)}`);
    gguf = file;
  }

  /** In a process of its own, started where the package is: two libraries with threads of their own stay apart. */
  async function queries(output: string, ...more: string[]) {
    const args = ['queries', '--corpus', corpus, '--output', output, '--llm-gguf', gguf, '--min-characters', '1'];
    const own = [
      '--query-types',
      'random',
      '--queries-per-passage',
      '2',
      '--reply-attempts',
      '12',
      '--llm-new-tokens',
      '24',
    ];
    const command = ['--import', import.meta.resolve('tsx'), main, ...args, ...own, '--json', ...more];
    const env = { ...process.env, OMP_NUM_THREADS: '1' };
    const child = spawn(process.execPath, command, { cwd: llama, env, timeout: 60_000, killSignal: 'SIGKILL' });
    const [out, err] = await Promise.all([child.stdout, child.stderr].map((stream) => stream.toArray()));
    return { out: Buffer.concat(out!).toString(), err: Buffer.concat(err!).toString() };
  }

  it('writes queries, the same for the same seed, and none twice', async function () {
    needLlama(this);
    const [one, two] = [temporaryDirectory(), temporaryDirectory()];
    const { out, err } = await queries(one);
    const result = JSON.parse(out || err);
    expect(result, err).to.deep.include({ written: 6, models: { [gguf]: 6 } });
    expect(result.spent.promptTokens).to.be.above(6 * 50);
    expect(result.spent.completionTokens).to.be.within(result.spent.requests, 24 * result.spent.requests);
    expect(new Set(lines(result.queries).map(({ query }) => query)).size).to.equal(6);

    await queries(two, '--llm-concurrency', '2');
    expect(lines(join(two, 'queries.jsonl'))).to.deep.equal(lines(result.queries));

    expect(JSON.parse((await queries(one)).out).spent.requests).to.equal(result.spent.requests);
  });

  it('says what is wrong with a file that is no model', async function () {
    needLlama(this);
    const { out } = await queries(temporaryDirectory(), '--llm-gguf', corpus);
    expect(JSON.parse(out).error.message).to.match(
      /^Expected a model in GGUF format at .*corpus\.jsonl but llama\.cpp says: /,
    );
  });

  it('says how to get llama.cpp where it is not there', async () => {
    const given = { corpus, output: temporaryDirectory(), llmGguf: 'model.gguf', minCharacters: 1 };
    const error = await rejection(writeQueries(given));
    expect(error.code).to.equal('SETUP');
    expect(error.message).to.contain('npm install node-llama-cpp');
    const fields = await rejection(writeQueries({ ...given, llmBody: { stop: ['x'] } }));
    expect(fields.message).to.contain('only top_p, top_k, min_p, seed for a GGUF file');
  });
});

import { spawn } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { buildDist } from '../lib/setup/dist.js';
import { root } from '../lib/setup/paths.js';
import { STAGES } from '../lib/specialize/stages.js';
import { realModel, temporaryDirectory, tinyConfig, tinyWeights, writeJson, writeTinyModel } from './helpers.js';

const config = {
  ...tinyConfig,
  ...{ vocab_size: 30_522, hidden_size: 64, intermediate_size: 64, max_position_embeddings: 256 },
};

/** all-MiniLM-L6-v2's tokenizer on random vectors of words, which two weak layers hardly mix: it matches words. */
function writeWordMatcher(): string {
  const weights = tinyWeights(config);
  for (const [name, { values }] of Object.entries(weights)) {
    if (/word_embeddings|LayerNorm/.test(name)) continue;
    for (let i = 0; i < values.length; i++) values[i]! *= 0.1;
  }
  const directory = writeTinyModel(join(temporaryDirectory(), 'word-matcher'), { config, weights });
  copyFileSync(join(realModel, 'tokenizer.json'), join(directory, 'tokenizer.json'));
  writeJson(join(directory, 'sentence_bert_config.json'), { max_seq_length: 256, do_lower_case: false });
  return directory;
}

interface Process {
  args: string[];
  env?: NodeJS.ProcessEnv;
  /** Ctrl-C, once stderr says this. */
  interruptAt?: string;
}

async function run(program: string, { args, env = {}, interruptAt }: Process) {
  const child = spawn(program, args, { cwd: root, env: { ...process.env, ...env } });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => {
    const before = stderr;
    stderr += text;
    if (interruptAt && stderr.includes(interruptAt) && !before.includes(interruptAt)) child.kill('SIGINT');
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

const quickstart = (options: Process) =>
  run(process.execPath, { ...options, args: ['examples/cranfield/quickstart.js', ...options.args] });
const npmQuickstart = (options: Process) =>
  run('npm', { ...options, args: ['run', '--silent', 'quickstart', '--', ...options.args] });

/** No network for Node's programs, none that pip would ask, and none that could be reached by a proxy. */
const offline = {
  NODE_OPTIONS: `--import=${new URL('programs/no-network.js', import.meta.url)}`,
  ...{ HF_HUB_OFFLINE: '1', PIP_NO_INDEX: '1', npm_config_offline: 'true' },
  ...{ http_proxy: 'http://127.0.0.1:9', https_proxy: 'http://127.0.0.1:9', no_proxy: '' },
};

/** From the first measure's heading to the last line that explains the table. */
const tableOf = (stdout: string) => stdout.match(/^nDCG@10 +mean[\s\S]*?resamples\.$/m)?.[0];

/** Each stage with the end of its last line. */
const stagesIn = (stdout: string) =>
  Object.fromEntries(STAGES.map((stage) => [stage, stdout.match(new RegExp(`^${stage} .*\\((.*)\\)$`, 'm'))?.[1]]));

describe('the quickstart', function () {
  this.timeout(300_000);
  const output = join(temporaryDirectory(), 'run');
  let args: string[];
  let complete: Awaited<ReturnType<typeof run>>;

  before(async () => {
    await buildDist();
    args = ['--max-steps', '1', '--model', writeWordMatcher(), '--output', output];
  });

  it('stops at Ctrl-C in the middle of training, and says that it can go on', async () => {
    const { code, stdout, stderr } = await quickstart({ args, interruptAt: 'training: ' });
    expect({ code }, stderr).to.deep.equal({ code: 130 });
    expect(stderr).to.match(/\nStopped\. The same command goes on from here\.\n$/);
    expect(stdout)
      .to.match(/^lists .* lists to train on/m)
      .and.to.not.match(/^training/m);
  });

  it('goes on by npm run quickstart, trains, and says by how much the model is better, and how sure that is', async () => {
    complete = await npmQuickstart({ args });
    const { code, stdout, stderr } = complete;
    expect({ code }, stderr).to.deep.equal({ code: 0 });
    expect(stdout).to.match(/^Specialising word-matcher to Cranfield/);
    expect(stdout)
      .to.match(/^lists .*\(done before\)$/m)
      .and.to.match(/^training +was begun before, goes on$/m);
    const [, before, after] = stdout.match(/^training +1 steps .* dev (\S+) → (\S+) /m)!;
    expect(Number(after), 'one step of all lists lowers the loss').to.be.below(Number(before));
    const rows = / +base +\d\.\d{4}\n +trained +\d\.\d{4}(?: +[+-]?\d\.\d{4}){3} +\d\.\d{4} /.source;
    expect(tableOf(stdout))
      .to.match(new RegExp(`^nDCG@10 +mean +diff\\. +interval +p .*\n${rows}`))
      .and.to.match(new RegExp(`^R@100\n${rows}`, 'm'));
    expect(stdout).to.match(/^nDCG@10 went from .* on 225 queries .*95 % interval .* p = /m);
    expect(stderr).to.match(/^training: 0\.\d of 1 steps/m);
  });

  it('ends with lines of Node and Python that use the model', async () => {
    const [, model] = complete.stdout.match(/^The trained model is in (\S+) /m)!;
    expect(existsSync(join(model!, 'modules.json')), model).to.equal(true);
    expect(complete.stdout).to.include(`  model = SentenceTransformer('${model}')\n`);
    const lines = complete.stdout.match(/^ {2}import \{ Embedder[\s\S]*?(?=\n\n)/m)![0];
    const program = `${lines}\nconsole.log(vectors.length);`;
    const { stdout, stderr } = await run(process.execPath, { args: ['--input-type=module', '--eval', program] });
    expect(stdout, stderr).to.equal(`${config.hidden_size}\n`);
  });

  it('does nothing twice, needs no network then, and prints the same table', async () => {
    const again = await npmQuickstart({ args, env: offline });
    expect({ code: again.code }, again.stderr).to.deep.equal({ code: 0 });
    const everyStage = Object.fromEntries(STAGES.map((stage) => [stage, 'done before']));
    expect(stagesIn(again.stdout)).to.deep.equal(everyStage);
    expect(tableOf(again.stdout)).to.be.a('string').and.to.equal(tableOf(complete.stdout));
  });

  it('refuses what it cannot read, with its options', async () => {
    const number = await quickstart({ args: ['--max-steps', 'none'] });
    expect(number).to.include({ code: 2, stdout: '' });
    expect(number.stderr).to.match(
      /^--max-steps none: expected a whole number above 0\.\n\nUsage: npm run quickstart --/,
    );
    const unknown = await quickstart({ args: ['--steps', '1'] });
    expect(unknown).to.include({ code: 2, stdout: '' });
    expect(unknown.stderr).to.include("'--steps'").and.to.include('--max-steps <count>');
    const help = await quickstart({ args: ['--help'] });
    expect(help).to.include({ code: 0, stderr: '' });
    expect(help.stdout).to.match(/^Usage: npm run quickstart -- \[options\]/);
  });
});

import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { runCommandLine } from '../lib/cli/program.js';
import { temporaryDirectory, tinyConfig, tinyWeights, writeJson, writeSafetensors, writeTinyModel } from './helpers.js';
import { trainingTask } from './training-task.js';

const { corpus, train, dev } = trainingTask();
const model = writeTinyModel();

describe('listwise train-cross-encoder', () => {
  const run = async (...args: string[]) => {
    let [stdout, stderr] = ['', ''];
    const code = await runCommandLine(['train-cross-encoder', ...args], {
      stdout: { write: (text) => (stdout += text) },
      stderr: { write: (text: string) => (stderr += text) },
    });
    return { code, stdout, stderr };
  };

  it('trains on files, says what came of it, and loses no other run unless it may', async () => {
    const home = temporaryDirectory();
    const write = (name: string, records: object[]) => {
      writeFileSync(join(home, name), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
      return join(home, name);
    };
    const passages = [...corpus].map(([number, text]) => ({ number, title: '', text }));
    const corpusFile = write('corpus.jsonl', passages);
    const files = ['--lists', write('train.jsonl', train), '--dev', write('dev.jsonl', dev), '--corpus', corpusFile];
    const output = join(home, 'run');
    const small = [
      '--max-steps',
      '3',
      '--batch-size',
      '10',
      '--id-field',
      'number',
      '--model',
      model,
      '--output',
      output,
    ];
    const first = await run(...files, ...small, '--quiet');
    expect(first, first.stderr).to.include({ code: 0 });
    expect(first.stdout).to.match(
      /^40 lists of 6 passages, 3 steps in .* \(stopped: maxSteps\)\ndev loss: 1\.\d{4} before, 1\.\d{4} after \d steps\nmodel: .*run\/model\n$/,
    );
    const again = await run(...files, ...small, '--json');
    expect(JSON.parse(again.stdout)).to.include({ steps: 3, stopped: 'maxSteps', directory: join(output, 'model') });
    expect(again.stderr).to.include('the same run was finished before');
    const other = await run(...files, ...small, '--loss', 'bce', '--json');
    expect(other.code).to.equal(4);
    expect(JSON.parse(other.stdout).error.message).to.match(/loss changed from "listwise" to "bce".* Add --yes/);
    const agreed = await run(...files, ...small, '--loss', 'bce', '--yes', '--json');
    expect(JSON.parse(agreed.stdout).base.loss).to.be.closeTo(Math.LN2, 0.1);
  });

  it('leaves alone what others keep in its output, the model it begins with among it', async () => {
    const home = temporaryDirectory();
    const lists = join(home, 'lists.jsonl');
    const texts = {
      query: 'a b',
      passages: ['a b', 'c d', 'e f'].map((text, i) => ({ id: `p${i}`, text, score: i % 2 })),
    };
    writeFileSync(lists, `${JSON.stringify(texts)}\n`);
    cpSync(model, join(home, 'base'), { recursive: true });
    const given = ['--lists', lists, '--max-steps', '1', '--output', home];
    const { code, stderr } = await run('--model', join(home, 'base'), ...given);
    expect(code, stderr).to.equal(0);
    expect(stderr).to.include(`1 of 1 lists of ${lists} have scores like judgements`).and.to.include('--labels scores');
    expect(readdirSync(home).sort()).to.deep.equal(['base', 'lists.jsonl', 'log.jsonl', 'model', 'training.json']);
    expect(readdirSync(join(home, 'base'))).to.have.members(readdirSync(model));
  });

  it('says so where the loss on dev never fell', async () => {
    const home = temporaryDirectory();
    const files = ['train', 'dev'].map((name, i) => {
      const passages = ['a b', 'c d'].map((text, j) => ({ id: `p${j}`, text, score: i === j ? 1 : 0 }));
      const file = join(home, `${name}.jsonl`);
      writeFileSync(file, `${JSON.stringify({ query: 'a b', passages })}\n`);
      return file;
    }) as [string, string];
    const given = ['--model', model, '--lists', files[0], '--dev', files[1], '--labels', 'scores'];
    const steps = ['--max-steps', '3', '--warmup-steps', '0', '--learning-rate', '0.01', '--output', join(home, 'run')];
    const { stdout, stderr } = await run(...given, ...steps);
    expect(stderr).to.not.include('scores like judgements');
    expect(stdout).to.match(/ after 0 steps\nThe loss on dev never fell, so these are the weights that it began with /);
  });

  it('says of what is neither an encoder nor a cross-encoder how it is read as both', async () => {
    const directory = writeTinyModel();
    const config = join(directory, 'config.json');
    rmSync(join(directory, 'modules.json'));
    writeJson(config, {
      ...JSON.parse(readFileSync(config, 'utf8')),
      architectures: ['BertForSequenceClassification'],
    });
    const classifier = { shape: [1, 32], values: new Float32Array(32) };
    writeSafetensors(join(directory, 'model.safetensors'), {
      ...tinyWeights(tinyConfig),
      'classifier.weight': classifier,
    });
    const { code, stderr } = await run('--model', directory, '--lists', 'x', '--output', temporaryDirectory());
    expect(code).to.equal(1);
    expect(stderr).to.match(
      /Expected an encoder or a cross-encoder but .* is neither\. As a cross-encoder: .* lack .*classifier\.bias.* As an encoder: .* is a BertForSequenceClassification/,
    );
  });
});

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { type CommandSpec, flagOf } from '../lib/cli/command.js';
import { COMMANDS } from '../lib/cli/program.js';
import { compareOptionNames } from '../lib/evaluation/compare.js';
import { evaluateOptionNames } from '../lib/evaluation/evaluate.js';
import { writeQueriesOptionNames } from '../lib/queries/write-queries.js';
import { specializeOptionNames } from '../lib/specialize/options.js';
import { studyOptionNames } from '../lib/study/options.js';
import { crossEncoderTrainingOptionNames } from '../lib/training/cross-encoder-options.js';
import { trainingOptionNames } from '../lib/training/options.js';
import { data, model, run, useTestSet, write } from './command-lines.js';
import { temporaryDirectory } from './helpers.js';

function commandNamed(name: string): CommandSpec {
  const spec = COMMANDS.find((command) => command.name === name);
  if (!spec) throw new Error(name);
  return spec;
}

describe('listwise (command line)', function () {
  this.timeout(120_000);
  useTestSet();

  describe('options', () => {
    const ownOptions = [
      'signal',
      'onProgress',
      'onStep',
      'onEvent',
      'onReplace',
      'onStage',
      'onInvalidate',
      'onEstimate',
      'onCorpus',
    ];
    // Of programs: measuring by a model that is loaded, and where sorting may spill.
    const ofPrograms = ['countTokens', 'sortMemory', 'temporaryDirectory'];
    const cases: [string, readonly string[]][] = [
      ['train', trainingOptionNames],
      ['train-cross-encoder', crossEncoderTrainingOptionNames],
      ['specialize', specializeOptionNames],
      ['study', studyOptionNames],
      ['queries', writeQueriesOptionNames.filter((name) => !ofPrograms.includes(name))],
      ['evaluate', evaluateOptionNames.filter((name) => name !== 'modelOptions')],
      ['compare', compareOptionNames.filter((name) => name !== 'modelOptions')],
    ];
    for (const [name, api] of cases) {
      it(`has every option of the function ${name} under the same name`, () => {
        const flags = commandNamed(name).options.map((option) => option.name);
        expect(flags).to.include.members(api.filter((option) => !ownOptions.includes(option)));
        expect(new Set(flags).size).to.equal(flags.length);
      });
    }

    it('lists the options of specialize under headings, and its own default of --list-length', async () => {
      const { stdout } = await run('specialize', '--help');
      const headings = [...stdout.matchAll(/^([A-Z][a-z ]+):$/gm)].map(([, heading]) => heading);
      const stages = [
        'Inputs',
        'Corpus',
        'Queries by a language model',
        'Candidates and teacher',
        'Lists',
        'Training',
        'Evaluation',
        'Gate',
        'Model',
        'Output',
      ];
      expect(headings).to.deep.equal([...stages, 'Options', 'Examples']);
      const under = (heading: string) => stdout.split(`\n${heading}:\n`)[1]?.split('\n\n')[0];
      expect(under('Inputs')).to.include('--corpus').and.to.include('--queries').and.to.not.include('--epochs');
      expect(under('Lists')).to.match(/--list-length <passages>[^-]*\(default: 20\)/);
      expect(under('Options')).to.include('--json').and.to.not.include('--output');
    });

    for (const spec of COMMANDS) {
      it(`gives examples of ${spec.name} whose options exist, and help that lists them all`, async () => {
        const own = [...spec.options, ...(spec.switches ?? [])].map(({ name }) => flagOf(name));
        const known = new Set([...own, '--config', '--json', '--quiet', '--verbose']);
        for (const { line } of spec.examples) {
          expect(line.split(' ')[0]).to.equal(spec.name);
          for (const [flag] of line.matchAll(/(?<= )--[a-z-]+/g)) expect([...known]).to.include(flag);
        }
        const { code, stdout, stderr } = await run(spec.name, '--help');
        expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
        for (const flag of known) expect(stdout).to.include(flag);
        expect(stdout).to.include('Examples:').and.to.include(`$ npx listwise ${spec.name}`);
      });
    }
  });

  describe('queries', () => {
    it('says why a server gave nothing, and how to ask again for what failed', async () => {
      const corpus = join(temporaryDirectory(), 'corpus.jsonl');
      writeFileSync(corpus, '{"_id": "a", "title": "", "text": "a passage about wings"}\n');
      const output = join(temporaryDirectory(), 'queries');
      // Node asks no server at port 9.
      const model = ['--llm-base-url', 'http://127.0.0.1:9/v1', '--llm-model', 'writer', '--llm-retries', '0'];
      const places = ['--corpus', corpus, '--output', output, '--query-types', 'web'];
      const { code, stdout, stderr } = await run('queries', ...places, ...model);
      expect({ code }, stderr).to.deep.equal({ code: 0 });
      expect(stdout).to.contain(
        'not written: 1 no reply\nfailed.jsonl beside the queries says why; --retry-failed asks for these again\n',
      );
      expect(readFileSync(join(output, 'failed.jsonl'), 'utf8')).to.contain('broke the connection off (bad port)');
    });
  });

  describe('wrong usage', () => {
    it('suggests the option and the command that may be meant, with exit code 2', async () => {
      const option = await run('evaluate', '--modle', 'x');
      expect(option.code).to.equal(2);
      expect(option.stderr).to.include("unknown option '--modle'").and.to.include('Did you mean --model?');
      const command = await run('evalute');
      expect(command).to.include({ code: 2, stdout: '' });
      expect(command.stderr).to.include('Did you mean evaluate?');
    });

    it('names the options that are missing', async () => {
      const { code, stderr } = await run('train', '--model', 'x');
      expect(code).to.equal(2);
      expect(stderr).to.equal('error: train needs --lists, --output. Run `listwise train --help` for what to give.\n');
    });

    it('refuses what is no number, and values that cannot be, under the name of the command line', async () => {
      const text = await run('evaluate', '--model', model, '--data', data, '--k', 'ten');
      expect(text.code).to.equal(2);
      expect(text.stderr).to.include("option '--k <passages>' argument 'ten' is invalid. Expected a whole number.");
      const value = await run('evaluate', '--model', model, '--data', data, '--max-length', '100000', '--quiet');
      expect(value.code, value.stderr).to.equal(2);
      expect(value.stderr).to.match(/^error: Expected .* for --max-length but received 100000/);
    });

    it('writes one JSON object about the failure with --json', async () => {
      for (const args of [
        ['evaluate', '--modle', 'x'],
        ['evaluate'],
        ['evaluate', '--model', model, '--data', 'nowhere'],
      ]) {
        const { code, stdout } = await run(...args, '--json');
        expect(code).to.be.above(0);
        expect(Object.keys(JSON.parse(stdout).error)).to.deep.equal(['code', 'message']);
      }
    });

    it('prints the help, as an error, without a command', async () => {
      const { code, stderr } = await run();
      expect(code).to.equal(2);
      expect(stderr).to.include('Exit codes: 0 success').and.to.include('specialize');
    });
  });

  describe('--config', () => {
    it('reads options from a file; the command line goes first', async () => {
      const config = write('options.json', JSON.stringify({ model, data, maxLength: 32, measures: ['AP'] }));
      const { code, stdout, stderr } = await run('evaluate', '--config', config, '--measures', 'RR@10', '--json');
      expect(code, stderr).to.equal(0);
      expect(Object.keys(JSON.parse(stdout).measures)).to.deep.equal(['RR@10']);
    });

    it('names an option that there is not, and broken JSON', async () => {
      const unknown = await run('evaluate', '--config', write('unknown.json', '{"modle": "x"}'));
      expect(unknown.code).to.equal(1);
      expect(unknown.stderr).to.include('unknown.json (field "modle"): There is no such option; did you mean "model"?');
      const broken = await run('evaluate', '--config', write('broken.json', '{"model": '));
      expect(broken.stderr).to.include('broken.json:1: Expected one JSON object of options');
    });
  });

  it('refuses values of another kind in --config, naming file and option', async () => {
    const wrong: [command: string, config: object, problem: string][] = [
      ['search', { corpus: 5 }, '(field "corpus"): Expected a string but found 5.'],
      ['encode', { input: [1] }, '(field "input"): Expected a string but found an array of 1.'],
      ['search', { k: '10' }, '(field "k"): Expected a whole number but found "10".'],
      ['compare', { judgedOnly: 1 }, '(field "judgedOnly"): Expected true or false but found 1.'],
      ['evaluate', { measures: 'AP' }, '(field "measures"): Expected an array of strings but found "AP".'],
      [
        'evaluate',
        { precision: 'fp8' },
        '(field "precision"): Expected one of "fp32", "bf16", "int8" but found "fp8".',
      ],
      ['train', { learningRate: null }, '(field "learningRate"): Expected a number but found null.'],
      ['specialize', { corpus: 5 }, '(field "corpus"): Expected a string or an array as the API takes it but found 5.'],
      ['specialize', { teacher: 5 }, 'Expected a string or an array or object as the API takes it but found 5.'],
      ['compare', { others: {} }, '(field "others"): Expected an array but found an object.'],
    ];
    for (const [command, config, problem] of wrong) {
      const { code, stderr } = await run(command, '--config', write('wrong.json', JSON.stringify(config)));
      expect(code, stderr).to.equal(1);
      expect(stderr).to.include(`wrong.json`).and.to.include(problem);
      expect(stderr.trim().split('\n')).to.have.length(1);
    }
  });

  it("takes the API's arrays in --config", async () => {
    const base = write('base.trec', 'a Q0 2 1 2.0 x\na Q0 1 2 1.0 x\nb Q0 2 1 1.0 x\nc Q0 3 1 1.0 x\n');
    const other = write('other.trec', 'a Q0 1 1 1.0 x\nb Q0 2 1 1.0 x\nc Q0 3 1 1.0 x\n');
    const config = { base: { name: 'old', run: base }, others: [{ name: 'new', run: other }], data };
    const file = write('compare.json', JSON.stringify({ ...config, measures: ['RR@10'], confidence: 0.9 }));
    const { code, stdout, stderr } = await run('compare', '--config', file);
    expect(code, stderr).to.equal(0);
    expect(stdout)
      .to.match(/old +0\.8333/)
      .and.to.match(/new +1\.0000/);
    expect(stdout.replace(/\s+/g, ' ')).to.include('with its 90 % interval');
  });
});

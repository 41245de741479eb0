import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { type CommandSpec, flagOf } from '../lib/cli/command.js';
import { COMMANDS, runCommandLine } from '../lib/cli/program.js';
import { duration, progressDisplay } from '../lib/cli/progress.js';
import { compareOptionNames } from '../lib/evaluation/compare.js';
import { evaluate, evaluateOptionNames } from '../lib/evaluation/evaluate.js';
import { writeQueriesOptionNames } from '../lib/queries/write-queries.js';
import { smallModelDirectory } from '../lib/setup/model.js';
import { root } from '../lib/setup/paths.js';
import { specializeOptionNames } from '../lib/specialize/options.js';
import { studyOptionNames } from '../lib/study/options.js';
import { trainingOptionNames } from '../lib/training/options.js';
import { temporaryDirectory } from './helpers.js';

const model = smallModelDirectory();
let home: string;
let data: string;

const PASSAGES = [
  ['1', 'Boundary layers', 'Transition to turbulence in the boundary layer of a flat plate.'],
  ['2', 'Heat', 'Heat transfer to a blunt body in hypersonic flow.'],
  ['3', 'Cooking', 'Boil the pasta for nine minutes and drain it.'],
  ['4', 'Gardening', 'Tomatoes need sun, water and support.'],
];
const QUERIES = [
  ['a', 'when does a boundary layer become turbulent'],
  ['b', 'how hot does the nose of a re-entry vehicle get'],
  ['c', 'how long to cook spaghetti'],
];

function write(name: string, content: string): string {
  const file = join(home, name);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, content);
  return file;
}

const jsonl = (records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');

/** Runs a command line in this process. */
async function run(...args: string[]) {
  let stdout = '';
  let stderr = '';
  const code = await runCommandLine(args, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}

/** The same, with somebody at the terminal who types an answer. */
async function runAtTerminal(args: string[], answer: string) {
  let stderr = '';
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 200 });
  terminal.on('data', (text) => (stderr += text));
  const stdin = Object.assign(new PassThrough(), { isTTY: true }) as unknown as NodeJS.ReadStream;
  (stdin as unknown as PassThrough).write(answer);
  const code = await runCommandLine(args, { stdout: { write: () => {} }, stderr: terminal, stdin });
  return { code, stderr };
}

/** Runs a command line in a process of its own; `onStart` may send it signals. */
function spawnCli(
  args: string[],
  { env = {}, onOutput = (_kill: (signal: NodeJS.Signals) => void, _text: string) => {} } = {},
) {
  const child = spawn(process.execPath, ['--import=tsx', join(root, 'lib/cli/main.ts'), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => {
    stderr += text;
    onOutput((signal) => child.kill(signal), String(text));
  });
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('exit', (code) => resolve({ code, stdout, stderr }));
  });
}

function commandNamed(name: string): CommandSpec {
  const spec = COMMANDS.find((command) => command.name === name);
  if (!spec) throw new Error(name);
  return spec;
}

describe('listwise (command line)', function () {
  this.timeout(120_000);

  before(() => {
    home = mkdtempSync(join(tmpdir(), 'listwise-cli-'));
    data = join(home, 'data');
    write('data/corpus.jsonl', jsonl(PASSAGES.map(([_id, title, text]) => ({ _id, title, text }))));
    write('data/queries.jsonl', jsonl(QUERIES.map(([_id, text]) => ({ _id, text }))));
    write('data/qrels/test.tsv', 'query-id\tcorpus-id\tscore\na\t1\t1\nb\t2\t1\nc\t3\t1\n');
  });

  after(() => rmSync(home, { recursive: true, force: true }));

  describe('options', () => {
    const ownOptions = [
      'signal',
      'onProgress',
      'onStep',
      'onEvent',
      'onStage',
      'onInvalidate',
      'onEstimate',
      'onCorpus',
    ];
    // Of programs: measuring by a model that is loaded, and where sorting may spill.
    const ofPrograms = ['countTokens', 'sortMemory', 'temporaryDirectory'];
    const cases: [string, readonly string[]][] = [
      ['train', trainingOptionNames],
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

  describe('evaluate', () => {
    it("prints one JSON object with the means under ir_measures' names, equal to the library's", async () => {
      const args = ['--model', model, '--data', data, '--split', 'test', '--max-length', '256'];
      const { code, stdout, stderr } = await run('evaluate', ...args, '--json', '--quiet');
      expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
      const result = JSON.parse(stdout);
      const { measures } = await evaluate({ model, data, maxLength: 256 });
      expect(result.measures).to.deep.equal(measures);
      expect(result.measures).to.have.all.keys('nDCG@10', 'R@100', 'RR@10', 'AP', 'P@10');
      expect(result).to.include({ ...measures, queries: 3, passages: 4, model, data, split: 'test' });
    });

    it('prints a table for people and progress on stderr', async () => {
      const { stdout, stderr } = await run('evaluate', '--model', model, '--data', data, '--measures', 'nDCG@10');
      expect(stdout).to.match(/^nDCG@10 {2}\d\.\d{4}\n3 queries, 4 passages, /);
      expect(stderr).to.include('encoding: 4 of 4 passages (100 %)');
    });
  });

  describe('compare', () => {
    it('compares runs that evaluate wrote', async () => {
      const files = ['base.trec', 'other.trec'].map((name) => join(home, name));
      const evaluated = ['evaluate', '--model', model, '--data', data, '--quiet', '--save-run'];
      await run(...evaluated, String(files[0]));
      await run(...evaluated, String(files[1]), '--max-length', '4');
      const args = ['--base', String(files[0]), '--others', String(files[1]), '--qrels', join(data, 'qrels/test.tsv')];
      const { code, stdout, stderr } = await run(
        'compare',
        ...args,
        '--measures',
        'AP',
        '--resamples',
        '100',
        '--json',
      );
      expect(code, stderr).to.equal(0);
      const result = JSON.parse(stdout);
      expect(result).to.deep.include({ base: files[0], others: [files[1]], measures: ['AP'] });
      expect(result.sets[0].queries).to.equal(3);
      expect((await run('compare', ...args)).stdout)
        .to.include('nDCG@10')
        .and.to.include('3 queries.');
    });
  });

  describe('encode and search', () => {
    it('keeps embeddings that search uses, and refuses those that were made in another way', async () => {
      const file = join(home, 'corpus.npy');
      const encoded = await run('encode', '--model', model, '--input', data, '--output', file, '--json');
      expect(encoded.code, encoded.stderr).to.equal(0);
      expect(JSON.parse(encoded.stdout)).to.include({ output: file, texts: 4, dimension: 384, kind: 'passage' });
      expect(JSON.parse(readFileSync(`${file}.json`, 'utf8')).ids).to.deep.equal(['1', '2', '3', '4']);
      const search = ['search', '--model', model, '--corpus', data, '--embeddings', file, '--k', '2'];
      const found = await run(...search, 'how long to cook spaghetti', 'growing tomatoes', '--json');
      const { queries } = JSON.parse(found.stdout);
      expect(queries.map((query: { passages: { id: string }[] }) => query.passages[0]?.id)).to.deep.equal(['3', '4']);
      expect(queries[0].passages).to.have.length(2);
      expect(found.stderr).to.not.include('passages (');
      const other = await run(...search, 'tomatoes', '--max-length', '16');
      expect(other.code).to.equal(1);
      expect(other.stderr).to.include('(field "maxLength"): Expected embeddings with maxLength 16 but these have 256');
    });

    it('prints ids without the escapes that they hold', async () => {
      const corpus = join(home, 'hostile.jsonl');
      writeFileSync(corpus, `${JSON.stringify({ _id: '\u001b[31mred\u0007', text: 'pasta' })}\n`);
      const { stdout } = await run('search', '--model', model, '--corpus', corpus, '--k', '1', 'pasta');
      expect(stdout).to.include('[31mred');
      expect(stdout.replaceAll('\n', '')).to.not.match(/\p{Cc}/u);
    });

    it('writes embeddings as JSON Lines, and answers for people', async () => {
      const file = join(home, 'queries.out.jsonl');
      await run('encode', '--model', model, '--input', data, '--kind', 'query', '--output', file);
      const lines = readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(lines.map((line) => line._id)).to.deep.equal(['a', 'b', 'c']);
      const length = Math.hypot(...lines[0].embedding);
      expect(length).to.be.closeTo(1, 1e-5);
      const { stdout } = await run('search', '--model', model, '--corpus', data, '--k', '1', 'pasta');
      expect(stdout).to.match(/^pasta\n {3}1 {2}0\.\d{4} {2}3 {2}Cooking\n {6}Boil the pasta/);
    });

    it('asks for a query', async () => {
      const { code, stderr } = await run('search', '--model', model, '--corpus', data);
      expect(code).to.equal(2);
      expect(stderr).to.include('search needs a query in quotes, or --queries');
    });

    it('refuses an output that it cannot write', async () => {
      const { code, stderr } = await run('encode', '--model', model, '--input', data, '--output', 'x.csv');
      expect(code).to.equal(2);
      expect(stderr).to.include('for --output but received "x.csv"');
    });
  });

  describe('train', () => {
    it('trains on lists and says where the model is', async () => {
      const passages = (first: string) =>
        [first, ...['1', '2', '3', '4'].filter((id) => id !== first)].map((id, i) => ({ id, score: 1 - i / 4 }));
      const lists = QUERIES.map(([, query], i) => ({ query, passages: passages(String(i + 1)) }));
      const file = write('lists.jsonl', jsonl(lists));
      const output = join(home, 'run');
      const args = ['--model', model, '--corpus', data, '--lists', file, '--output', output, '--max-steps', '2'];
      const { code, stdout, stderr } = await run('train', ...args, '--teacher-temperature', '0.3', '--json');
      expect(code, stderr).to.equal(0);
      expect(JSON.parse(stdout)).to.include({ steps: 2, stopped: 'maxSteps', teacherTemperature: 0.3 });
      expect(existsSync(join(output, 'model', 'model.safetensors'))).to.equal(true);
      expect(stderr).to.include('"stage":"training"');
    });

    it('takes match and refuses other words as the temperature', async () => {
      const lists = write('none.jsonl', '');
      const args = ['--model', model, '--lists', lists, '--output', join(home, 'none')];
      const wrong = await run('train', ...args, '--teacher-temperature', 'hot');
      expect(wrong.code, wrong.stderr).to.equal(2);
      expect(wrong.stderr).to.include(
        `Expected 'match' or a number above 0 for --teacher-temperature but received "hot"`,
      );
    });
  });

  describe('specialize', () => {
    it('says what becomes of each stage, and does not do again what is done', async () => {
      const queries = write('written.jsonl', jsonl([{ passage: '1', type: 'question', query: 'what is transition' }]));
      const output = join(home, 'specialized');
      const args = ['--corpus', data, '--model', model, '--queries', queries, '--output', output, '--until', 'corpus'];
      const first = await run('specialize', ...args, '--json');
      expect(first.code, first.stderr).to.equal(0);
      expect(first.stderr).to.include('"message":"corpus: done in ');
      expect(JSON.parse(first.stdout).stages.corpus).to.include({ reused: false });
      const second = await run('specialize', ...args);
      expect(second.stderr).to.match(/^corpus: done before$/m);
      expect(second.stdout).to.include(`run directory: ${output}`);
      const changed = await run('specialize', ...args, '--min-characters', '3', '--yes');
      expect(changed.stderr).to.match(/^corpus: done again: .*minCharacters/m);
    });

    it('loses nothing of what was done unless --yes or an answer says so', async () => {
      const queries = write('written.jsonl', jsonl([{ passage: '1', type: 'question', query: 'what is transition' }]));
      const output = join(home, 'kept');
      const args = ['specialize', '--corpus', data, '--model', model, '--queries', queries, '--output', output];
      const early = [...args, '--until', 'corpus'];
      await run(...early);
      const before = readFileSync(join(output, 'manifest.json'), 'utf8');
      const refused = await run(...early, '--min-characters', '3', '--json');
      expect(refused.code).to.equal(4);
      expect(JSON.parse(refused.stdout).error.code).to.equal('NOT_CONFIRMED');
      expect(JSON.parse(refused.stdout).error.message).to.equal(
        'This would lose work that the run has done: corpus is done again: minCharacters changed from 10 to 3. Nothing ' +
          'was done. Add --yes to agree, or give the options of the run, or another --output.',
      );
      const no = await runAtTerminal([...early, '--min-characters', '3'], 'n\n');
      expect(no.code).to.equal(4);
      expect(no.stderr).to.include('corpus is done again: minCharacters changed from 10 to 3').and.to.include('[y/N]');
      expect(readFileSync(join(output, 'manifest.json'), 'utf8')).to.equal(before);
      const yes = await runAtTerminal([...early, '--min-characters', '3'], 'y\n');
      expect(yes.code, yes.stderr).to.equal(0);
      expect(
        JSON.parse(readFileSync(join(output, 'manifest.json'), 'utf8')).stages.corpus.options.minCharacters,
      ).to.equal(3);
    });

    it('is followed by status, which says where the run is', async () => {
      const queries = write('written.jsonl', jsonl([{ passage: '1', type: 'question', query: 'what is transition' }]));
      const output = join(home, 'followed');
      const args = ['--corpus', data, '--model', model, '--queries', queries, '--output', output];
      await run('specialize', ...args, '--until', 'embeddings');
      const { code, stdout } = await run('status', output);
      expect(code).to.equal(0);
      expect(stdout).to.include(`${output}: not under way; start it again to go on\n`);
      expect(stdout)
        .to.match(/^embeddings +done in \d+ s; passages 4/m)
        .and.to.match(/^training +to do$/m);
      const none = await run('status', home);
      expect(none.code).to.equal(1);
      expect(none.stderr).to.include('has no manifest.json; check the path.');
      expect((await run('status')).code).to.equal(2);
    });

    it('tells each detail with --verbose, on lines of JSON with --json', async () => {
      const queries = write('written.jsonl', jsonl([{ passage: '1', type: 'question', query: 'what is transition' }]));
      const args = ['--corpus', data, '--model', model, '--queries', queries, '--until', 'corpus', '--json'];
      const { stderr } = await run('specialize', ...args, '--output', join(home, 'verbose'), '--verbose');
      const told = stderr
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      const { time, ...started } = told.find(({ status }) => status === 'started');
      expect(Date.now() - Date.parse(time)).to.be.within(0, 60_000);
      expect(started).to.deep.equal({
        ...{ level: 'detail', message: 'corpus: started', stage: 'corpus', status: 'started' },
      });
      expect(told.find(({ status }) => status === 'done')).to.deep.include({ level: 'info', stage: 'corpus' });
      const normal = await run('specialize', ...args, '--output', join(home, 'normal'));
      expect(normal.stderr).to.include('"status":"done"').and.to.not.include('"detail"');
      const quiet = await run('specialize', ...args, '--output', join(home, 'quiet'), '--quiet');
      expect(quiet.stderr).to.equal('');
      const both = await run('specialize', ...args, '--output', join(home, 'both'), '--quiet', '--verbose');
      expect(both.code).to.equal(2);
      expect(both.stdout).to.include('--quiet and --verbose exclude one another.');
    });

    it('takes a file of scores as the teacher', async () => {
      const queries = write('written.jsonl', jsonl([{ passage: '1', type: 'question', query: 'what is transition' }]));
      const args = ['--corpus', data, '--model', model, '--queries', queries, '--output', join(home, 'scored')];
      const { code, stderr } = await run('specialize', ...args, '--teacher', join(home, 'scores.jsonl'), '--quiet');
      expect(code).to.equal(1);
      expect(stderr).to.include('scores.jsonl');
    });
  });

  describe('doctor and setup', () => {
    it('finds everything where set-up has run, and says what is wrong where LIBTORCH is', async () => {
      const good = await spawnCli(['doctor', '--json']);
      expect(good.code, good.stdout).to.equal(0);
      expect(JSON.parse(good.stdout)).to.include({ ok: true });
      const bad = await spawnCli(['doctor'], { env: { LIBTORCH: home } });
      expect(bad.code).to.equal(1);
      expect(bad.stdout).to.match(/BAD {3}libtorch +The variable LIBTORCH names .* it lacks include\/ATen/);
      expect(bad.stdout)
        .to.include('-> ')
        .and.to.match(/\d problems?\.\n$/);
    });

    it('has nothing to do when all is set up', async () => {
      // Once before, for those who change sources while they test.
      await spawnCli(['setup', '--small-model']);
      const { code, stdout, stderr } = await spawnCli(['setup', '--small-model', '--json']);
      expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).to.include({ model }).and.to.have.nested.property('libtorch.version');
    });
  });

  describe('Ctrl-C', () => {
    it('stops cleanly with exit code 130, and one JSON object with --json', async () => {
      const words = Array.from({ length: 3000 }, (_, i) => ({
        _id: String(i),
        text: `${'many words '.repeat(60)}${i}`,
      }));
      const input = write('long.jsonl', jsonl(words));
      const output = join(home, 'long.npy');
      let sent = false;
      const { code, stdout, stderr } = await spawnCli(
        ['encode', '--model', model, '--input', input, '--output', output, '--json'],
        {
          onOutput: (kill, text) => {
            if (sent || !text.includes('encoding')) return;
            sent = true;
            kill('SIGINT');
          },
        },
      );
      expect(code, stderr).to.equal(130);
      expect(stderr)
        .to.include('Stopping cleanly; press Ctrl-C again to stop at once.')
        .and.to.match(/"message":"Stopped\.","code":"ABORTED"\}\n$/);
      expect(JSON.parse(stdout)).to.deep.equal({ error: { code: 'ABORTED', message: 'Stopped.' } });
      expect(existsSync(output)).to.equal(false);
    });
  });
});

describe('progressDisplay', () => {
  it('writes a line at once, then every five seconds, with rate and time left', () => {
    let now = 0;
    let text = '';
    const display = progressDisplay({ write: (line: string) => (text += line) }, () => now);
    for (let done = 0; done <= 1200; done += 100) {
      display.show({ stage: 'encoding', done, total: 1200, unit: 'passages' });
      now += 1000;
    }
    expect(text.split('\n')).to.deep.equal([
      'encoding: 0 of 1,200 passages (0 %)',
      'encoding: 500 of 1,200 passages (41 %); 100/s, 7 s left',
      'encoding: 1,000 of 1,200 passages (83 %); 100/s, 2 s left',
      '',
    ]);
  });

  it('starts the rate anew when the same stage counts something else', () => {
    let now = 0;
    let text = '';
    const display = progressDisplay({ write: (line: string) => (text += line) }, () => now);
    display.show({ stage: 'encoding', done: 100, total: 100, unit: 'passages' });
    now = 60_000;
    display.show({ stage: 'encoding', done: 0, total: 50, unit: 'queries' });
    now = 70_000;
    display.show({ stage: 'encoding', done: 10, total: 50, unit: 'queries', note: 'slow' });
    expect(text).to.include('encoding: 10 of 50 queries (20 %); 1/s, 40 s left; slow');
  });

  it('says what was spent, in tokens and money', () => {
    let text = '';
    const display = progressDisplay({ write: (line: string) => (text += line) }, () => 0);
    display.show({ stage: 'queries', done: 3, total: 10, unit: 'queries', tokens: 12_345, cost: 0.354, note: 'slow' });
    expect(text).to.equal('queries: 3 of 10 queries (30 %); 12,345 tokens, cost 0.35; slow\n');
  });

  it('draws a bar no wider than the terminal, with megabytes for bytes', () => {
    let now = 0;
    let text = '';
    const stream = { write: (line: string) => (text += line), isTTY: true, columns: 60, on: () => {}, once: () => {} };
    const display = progressDisplay(stream, () => now);
    display.show({ stage: 'download', done: 0, total: 20_000_000, unit: 'bytes' });
    now = 2000;
    display.show({ stage: 'download', done: 10_000_000, total: 20_000_000, unit: 'bytes', note: 'x'.repeat(100) });
    display.end();
    const escapes = new RegExp(`${String.fromCharCode(27)}(?:\\[[\\d?]*[a-zA-Z]|\\d)`);
    const drawn = text.split(escapes).filter((part) => part.includes('download'));
    expect(drawn.at(-1)).to.match(/^download █{12}░{12} {2}50 % {2}10\/20 MB {2}5\.0/);
    for (const line of drawn) expect(line.trim().length).to.be.below(60);
  });
});

describe('duration', () => {
  it('is short at every size', () => {
    expect([0.4, 59.4, 60, 200, 7500].map(duration)).to.deep.equal([
      '0 s',
      '59 s',
      '1 min 0 s',
      '3 min 20 s',
      '2 h 5 min',
    ]);
  });
});

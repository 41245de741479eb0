import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { evaluate } from '../lib/evaluation/evaluate.js';
import { data, home, jsonl, model, QUERIES, run, runAtTerminal, spawnCli, useTestSet, write } from './command-lines.js';

describe('commands of listwise', function () {
  this.timeout(120_000);
  useTestSet();

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

  describe('prompts', () => {
    it('copies them once, and says what is in the way', async () => {
      const output = join(home, 'my-prompts');
      const { stdout } = await run('prompts', '--output', output);
      expect(stdout).to.contain(join(output, 'web.yaml'));
      const again = await run('prompts', '--output', output);
      expect(again.stderr).to.contain(`Cannot write ${output}: it has files already, which may be changed prompts`);
      const file = await run('prompts', '--output', write('taken', 'x'));
      expect(file.code).to.equal(1);
      expect(file.stderr).to.contain('taken: there is a file where a directory should be').and.not.contain('at async');
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

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { runCommandLine } from '../lib/cli/program.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';

async function run(...args: string[]) {
  let [stdout, stderr] = ['', ''];
  const code = await runCommandLine(args, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}

describe('commands that read a corpus', () => {
  let home: string;
  let model: string;

  before(async () => {
    home = temporaryDirectory();
    model = writeTinyModel();
    await writeFile(join(home, 'corpus.csv'), 'nr,body\n1,a b c\n2,d e f\n1,g h\n');
    await mkdir(join(home, 'notes'));
    await writeFile(join(home, 'notes', 'n.md'), `# A\n\n${'a b c d. '.repeat(6)}\n\n# B\n\ne f g\n`);
  });

  it('read any format, and say what is wrong in it', async () => {
    const corpus = join(home, 'corpus.csv');
    const fields = ['--id-field', 'nr', '--text-field', 'body'];
    const failed = await run('search', '--model', model, '--corpus', corpus, ...fields, 'a b');
    expect(failed.code).to.equal(1);
    expect(failed.stderr).to.contain(
      `${corpus}:4 (field "nr"): Expected ids that stand once but "1" stands on line 2 already; mend the file, or choose ` +
        'skip by --duplicate-ids.',
    );
    const found = await run(
      'search',
      '--model',
      model,
      '--corpus',
      corpus,
      ...fields,
      '--duplicate-ids',
      'skip',
      '--json',
      'a b',
    );
    expect(found.code).to.equal(0);
    expect(found.stderr).to.contain(`"message":"corpus: duplicateIds 1 (skip): ${corpus}:4"`);
    const { passages } = JSON.parse(found.stdout).queries[0];
    expect(passages.map(({ id }: { id: string }) => id)).to.have.members(['1', '2']);
  });

  it("split text by the model's tokens", async () => {
    const output = join(home, 'notes.jsonl');
    const args = ['--model', model, '--input', join(home, 'notes'), '--output', output];
    const { code, stderr } = await run('encode', ...args, '--split-tokens', '10', '--split-overlap', '0');
    expect(stderr).to.not.contain('Expected');
    expect(code).to.equal(0);
    const ids = (await readFile(output, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)._id);
    expect(ids).to.deep.equal(['n.md#1', 'n.md#2', 'n.md#3', 'n.md#4']);
  });
});

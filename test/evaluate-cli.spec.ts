import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { data, home, model, run, useTestSet, write } from './command-lines.js';

describe('listwise evaluate, by grade and by judgement', function () {
  this.timeout(120_000);
  useTestSet();

  /** Measures of query a where passage 1, which stands first, and passage 4, further down, are judged. */
  const measured = async (judgements: string, ...args: string[]) => {
    write('data/qrels/graded.tsv', `query-id\tcorpus-id\tscore\n${judgements}`);
    const common = ['--model', model, '--data', data, '--split', 'graded', '--measures', 'RR', 'P@1', '--quiet'];
    const { code, stdout, stderr } = await run('evaluate', ...common, ...args, '--json');
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout).measures as Record<string, number>;
  };
  const placeOf = async (passage: string) => {
    const file = join(home, 'graded.trec');
    await measured('a\t1\t1\n', '--save-run', file);
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    return 1 + lines.findIndex((line) => line.startsWith(`a Q0 ${passage} `));
  };

  it('counts passages from --relevance-level on as relevant', async () => {
    const place = await placeOf('4');
    expect(place).to.be.within(2, 4);
    const grades = 'a\t1\t1\na\t4\t2\n';
    expect(await measured(grades)).to.deep.equal({ RR: 1, 'P@1': 1 });
    const above = await measured(grades, '--relevance-level', '2');
    expect(above).to.deep.equal({ 'RR(rel=2)': 1 / place, 'P(rel=2)@1': 0 });
  });

  it('leaves passages without judgement out of the ranking with --judged-only', async () => {
    const place = await placeOf('4');
    expect(await measured('a\t4\t1\n')).to.deep.equal({ RR: 1 / place, 'P@1': 0 });
    const judged = await measured('a\t4\t1\n', '--judged-only');
    expect(judged).to.deep.equal({ 'RR(judged_only=True)': 1, 'P(judged_only=True)@1': 1 });
  });

  it('refuses a level that is none', async () => {
    const args = ['--model', model, '--data', data, '--relevance-level', '0', '--quiet'];
    const { code, stderr } = await run('evaluate', ...args);
    expect(code).to.equal(2);
    expect(stderr).to.include('Expected a whole number from 1 for --relevance-level but received 0.');
  });
});

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { runCommandLine } from '../lib/cli/program.js';
import { teach } from '../lib/teachers/teach.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';
import { type FaultyServer, startFaultyServer } from './servers/faulty.js';
import { rerankReply, scoreOf } from './servers/rerankers.js';
import { jsonl } from './tiny-run.js';

describe('teach', () => {
  let server: FaultyServer;
  let home: string;

  beforeEach(async () => {
    server = await startFaultyServer({ answer: rerankReply });
    home = temporaryDirectory();
    write('corpus.jsonl', jsonl(['a', 'b', 'c', 'd'].map((id) => ({ _id: id, title: id, text: `text of ${id}` }))));
    write(
      'queries.jsonl',
      jsonl([
        { _id: '1', text: 'one' },
        { id: '2', query: 'two', type: 'web', passage: 'a' },
      ]),
    );
    write('run.trec', '1 Q0 a 1 2 x\n1 Q0 c 2 1 x\n2 Q0 d 1 3 x\n2 Q0 a 2 2 x\n2 Q0 b 3 1 x\n');
  });
  afterEach(() => server.close());

  const file = (name: string) => join(home, name);
  const write = (name: string, text: string) => writeFileSync(file(name), text);
  const options = () => ({
    ...{ corpus: home, queries: file('queries.jsonl'), candidates: file('run.trec'), output: file('scores.jsonl') },
    teacher: `tei:${server.url}`,
  });
  const scores = (name = 'scores.jsonl') =>
    readFileSync(file(name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));

  it('writes the scores of all candidates, and asks for nothing twice', async () => {
    const result = await teach(options());
    expect(result).to.deep.include({ queries: 2, pairs: 5, scored: 5 });
    const of = (query: string, text: string, passage: string) => ({
      ...{ query, passage, score: scoreOf(text, `${passage} text of ${passage}`) },
    });
    expect(scores()).to.deep.equal([
      ...[of('1', 'one', 'a'), of('1', 'one', 'c')],
      ...[of('2', 'two', 'd'), of('2', 'two', 'a'), of('2', 'two', 'b')],
    ]);
    expect(server.requests.length).to.equal(2);
    await teach(options());
    expect(server.requests.length).to.equal(2);
  });

  it('takes several teachers as one, scores from a file among them', async () => {
    await teach(options());
    const both = await teach({
      ...options(),
      teacher: [`tei:${server.url}`, file('scores.jsonl')],
      output: file('two.jsonl'),
    });
    expect(both.scored).to.equal(5);
    const order = (name: string) =>
      scores(name)
        .filter(({ query }) => query === '2')
        .sort((a, b) => b.score - a.score)
        .map(({ passage }) => passage);
    expect(order('two.jsonl')).to.deep.equal(order('scores.jsonl'));
  });

  it('is refused while another writes the same scores, so that nothing is paid for twice', async () => {
    server.options.delay = 50;
    const both = await Promise.allSettled([teach(options()), teach(options())]);
    expect(both.map(({ status }) => status).sort()).to.deep.equal(['fulfilled', 'rejected']);
    const { reason } = both.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
    expect(reason).to.include({ code: 'BUSY' });
    expect(reason.message).to.contain(`${file('scores.jsonl.answers')} is in use by process ${process.pid} on `);
    expect(server.requests.length).to.equal(2);
    expect(readdirSync(home).filter((name) => name.startsWith('scores'))).to.have.members([
      ...['scores.jsonl', 'scores.jsonl.answers'],
    ]);
    expect((await teach(options())).scored).to.equal(5);
  });

  it('says what does not fit together', async () => {
    const failure = async (more: object) => (await rejection(teach({ ...options(), ...more }))).message;
    expect(await failure({ teacher: 'fused' })).to.contain('specialize for this one');
    expect(await failure({ output: '' })).to.contain('a path that is not empty for output');
    expect(await failure({ teachers: 'x' })).to.contain('did you mean "teacher"?');
    write('other.trec', '9 Q0 a 1 2 x\n');
    expect(await failure({ candidates: file('other.trec') })).to.contain(
      'Expected queries of the queries file but "9" is not there.',
    );
    write('other.trec', '1 Q0 z 1 2 x\n');
    expect(await failure({ candidates: file('other.trec') })).to.contain(
      'Expected passages of the corpus but "z" of query "1" is not there.',
    );
    expect(existsSync(file('scores.jsonl'))).to.equal(false);
  });

  it('is a command', async () => {
    const { corpus, queries, candidates, output } = options();
    const teacher = JSON.stringify({ kind: 'jina', model: 'm', url: server.url, keyVariable: 'LISTWISE_TEST_KEY' });
    const args = ['--corpus', corpus, '--queries', queries, '--candidates', candidates, '--output', output];
    const told = { stdout: '', stderr: '' };
    const stream = (name: 'stdout' | 'stderr') => ({ write: (text: string) => (told[name] += text) });
    const streams = { stdout: stream('stdout'), stderr: { ...stream('stderr'), isTTY: false } } as any;
    expect(await runCommandLine(['teach', ...args, '--teacher', teacher], streams)).to.not.equal(0);
    expect(told.stderr).to.contain('environment variable LISTWISE_TEST_KEY but it is not set');
    process.env.LISTWISE_TEST_KEY = 'key';
    try {
      expect(await runCommandLine(['teach', ...args, '--teacher', teacher], streams), told.stderr).to.equal(0);
    } finally {
      delete process.env.LISTWISE_TEST_KEY;
    }
    expect(told.stdout).to.equal(`${output}: 5 of 5 pairs scored\njina m: 2 requests answered, 50 tokens\n`);
  });
});

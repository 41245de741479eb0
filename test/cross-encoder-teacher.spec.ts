import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CrossEncoder, passageText, teach } from '../lib/index.js';
import { settleTeacher } from '../lib/teachers/choice.js';
import { identityOf } from '../lib/teachers/open.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';
import { jsonl } from './tiny-run.js';

const model = fileURLToPath(new URL('fixtures/parity/cross-encoders/bert', import.meta.url));

describe('a cross-encoder as teacher', () => {
  let home: string;
  const passages = ['a', 'b', 'c', 'd'].map((id) => ({ _id: id, title: id, text: `${id.repeat(3)} x${id}` }));

  beforeEach(() => {
    home = temporaryDirectory();
    write('corpus.jsonl', jsonl(passages));
    const queries = [
      { _id: '1', text: 'one' },
      { _id: '2', text: 'abcd '.repeat(12) },
      { _id: '3', text: 'three' },
    ];
    write('queries.jsonl', jsonl(queries));
    write('run.trec', '1 Q0 a 1 2 x\n1 Q0 c 2 1 x\n2 Q0 d 1 3 x\n3 Q0 b 1 3 x\n3 Q0 a 2 2 x\n');
  });

  const file = (name: string) => join(home, name);
  const write = (name: string, text: string) => writeFileSync(file(name), text);
  const lines = (name: string) => readFileSync(file(name), 'utf8').trimEnd().split('\n');
  const options = (teacher: unknown) => ({
    ...{ corpus: home, queries: file('queries.jsonl'), candidates: file('run.trec'), output: file('scores.jsonl') },
    teacher: teacher as string,
  });

  it('gives its logits, and no score where a query leaves no room for a passage', async () => {
    const result = await teach(options(`cross-encoder:${model}`));
    expect(result).to.deep.equal({ output: file('scores.jsonl'), queries: 3, pairs: 5, scored: 4 });
    await using scorer = await CrossEncoder.load(model, { activation: 'identity' });
    const asked = [
      ['one', 'a'],
      ['one', 'c'],
      ['three', 'b'],
      ['three', 'a'],
    ] as const;
    const pairs = asked.map(([query, id]) => {
      const { title, text } = passages.find(({ _id }) => _id === id)!;
      return { query, passage: passageText({ title, text }) };
    });
    const expected = await scorer.score(pairs);
    const written = lines('scores.jsonl').map((line) => JSON.parse(line));
    expect(written.map(({ query, passage }) => query + passage)).to.deep.equal(['1a', '1c', '3b', '3a']);
    for (const [i, { score }] of written.entries()) expect(score).to.be.closeTo(expected[i]!, 1e-5);
  });

  it('keeps each score, and computes none twice', async () => {
    await teach(options(`cross-encoder:${model}`));
    const [journal] = readdirSync(file('scores.jsonl.answers'));
    const answers = join('scores.jsonl.answers', journal!);
    const before = lines(answers);
    // Of a run that was killed in the middle of its second query's line.
    const changed = before[1]!.replace(/"score":(-?[\d.e-]+)/, '"score":12.5');
    write(answers, `${before[0]}\n${changed}\n${before[2]!.slice(0, 20)}`);
    await teach(options(`cross-encoder:${model}`));
    expect(JSON.parse(lines('scores.jsonl')[0]!)).to.deep.equal({ query: '1', passage: 'a', score: 12.5 });
    expect(lines(answers).slice(2)).to.deep.equal(before.slice(2));
  });

  it('is another teacher with other weights or another length', async () => {
    const of = async (choice: object) => identityOf(settleTeacher({ kind: 'cross-encoder', ...choice }) as never);
    const plain = await of({ model });
    expect(await of({ model, maxLength: 512 })).to.deep.equal(plain);
    expect(await of({ model, device: 'cpu' })).to.deep.equal(plain);
    expect(await of({ model, maxLength: 20 })).to.not.deep.equal(plain);
    expect(await of({ model: join(model, '..', 'roberta') })).to.not.deep.equal(plain);
    expect(await of({ model: 'BAAI/bge-reranker-base' })).to.deep.equal({
      ...{ kind: 'cross-encoder', model: 'BAAI/bge-reranker-base', maxLength: 512 },
    });
  });

  it('says before any work what is wrong with its name or its model', async () => {
    const messageOf = async (teacher: unknown) => ((await rejection(teach(options(teacher)))) as Error).message;
    expect(await messageOf({ kind: 'cross-encoder' })).to.equal(
      'Expected a directory or a name on the Hub for teacher.model but received undefined; name it as in ' +
        'cross-encoder:BAAI/bge-reranker-base.',
    );
    expect(await messageOf({ kind: 'cross-encoder', model, maxLength: 0 })).to.contain('for teacher.maxLength but');
    expect(await messageOf({ kind: 'cross-encoder', model, device: 'gpu' })).to.contain('for device but');
    expect(await messageOf({ kind: 'cross-encoder', model, t5: 'rankt5' })).to.contain('for t5 but');
    expect(await messageOf({ kind: 'cross-encoder', model, batch: 3 })).to.contain('teacher has no option "batch"');
    const embedder = join(model, '..', '..', 'models', 'bert');
    expect(await messageOf(`cross-encoder:${embedder}`)).to.contain('has no head that scores pairs');
    expect(await messageOf('cross-encoder:nowhere')).to.contain(
      'Expected a directory or a Hub name "owner/name" for teacher but received "nowhere"; give the owner as well, ',
    );
  });
});

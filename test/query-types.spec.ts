import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Corpus, loadCorpus } from '../lib/corpus/corpus.js';
import { readExampleQueries } from '../lib/queries/example-queries.js';
import { promptFor } from '../lib/queries/prompt.js';
import { DEFAULT_TYPES, promptsDirectory, readQueryTypes } from '../lib/queries/query-type.js';
import { checkReply } from '../lib/queries/reply-check.js';
import { planRequests } from '../lib/queries/request.js';
import { longestSharedRun, wordsOf } from '../lib/queries/words.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

const limits = { maxWords: 20, maxCopiedWords: 8 };

describe('readQueryTypes', () => {
  const file = (name: string, content: string, directory = temporaryDirectory()) => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };

  it('has the six types of the method, five of them with three examples and random with none', async () => {
    const types = await readQueryTypes(DEFAULT_TYPES);
    expect(types.map(({ name, examples }) => [name, examples])).to.deep.equal([
      ...['question', 'claim', 'title', 'keywords', 'web'].map((name) => [name, 3]),
      ['random', 0],
    ]);
    for (const { name, instruction, pool } of types) {
      expect(instruction, name).to.match(/fewer than 20/);
      expect(pool.length, name).to.be.at.least(name === 'random' ? 0 : 12);
    }
  });

  it('ships examples that its own check of replies would take', async () => {
    for (const { name, pool } of await readQueryTypes(DEFAULT_TYPES)) {
      for (const { passage, query } of pool) {
        expect(checkReply({ text: query }, passage!, { ...limits, maxWords: 19 }), `${name}: ${query}`).to.deep.equal({
          query,
        });
      }
      expect(new Set(pool.map(({ query }) => query)).size, name).to.equal(pool.length);
    }
  });

  it("reads a user's own type with examples in the file", async () => {
    const own = file('dosage.yaml', 'instruction: Ask for a dose.\nexamples: 1\npool:\n  - passage: a\n    query: b\n');
    expect(await readQueryTypes([own])).to.deep.equal([
      { name: 'dosage', instruction: 'Ask for a dose.', examples: 1, pool: [{ passage: 'a', query: 'b' }] },
    ]);
  });

  it('reads a changed copy of the whole folder, and passes over the type that wants own queries', async () => {
    const copy = join(temporaryDirectory(), 'prompts');
    cpSync(promptsDirectory, copy, { recursive: true });
    writeFileSync(join(copy, 'claim.yaml'), 'instruction: Claim something.\npool: examples.yaml\n');
    const types = await readQueryTypes([copy]);
    expect(types.map(({ name }) => name)).to.have.members([...DEFAULT_TYPES]);
    expect(types.find(({ name }) => name === 'claim')).to.include({ instruction: 'Claim something.', examples: 3 });
  });

  it("puts the user's own queries of a type in the place of its pool, and the others into type user", async () => {
    const own = [
      { query: 'q1', passage: 'p1', type: 'web' },
      ...['u1', 'u2', 'u3', 'u4', 'u5'].map((query) => ({ query })),
    ];
    const user = (await readQueryTypes(['user'], own))[0]!;
    expect(user.pool).to.have.length(5);
    const error = await rejection(readQueryTypes(['web'], own));
    expect(error.message).to.contain(
      'web.yaml (field "pool"): Expected at least 3 examples to draw from but the pool has 1',
    );
    const three = ['a', 'b', 'c'].map((query) => ({ query, passage: 'p', type: 'web' }));
    expect((await readQueryTypes(['web'], three))[0]!.pool.map(({ query }) => query)).to.deep.equal(['a', 'b', 'c']);
  });

  it('says what is wrong with a type, and where', async () => {
    const messages = [
      [
        await rejection(readQueryTypes(['questoin'])),
        'a type of query (claim, keywords, question, random, title, user, web)',
      ],
      [await rejection(readQueryTypes([file('a.yaml', 'instruction: [')])), 'Expected YAML but the parser says'],
      [await rejection(readQueryTypes([file('a.yaml', 'examples: 3')])), '(field "instruction"): Expected a text'],
      [
        await rejection(readQueryTypes([file('a.yaml', 'instruction: x\nexample: 3')])),
        '(field "example"): Expected name',
      ],
      [await rejection(readQueryTypes([file('a.yaml', 'instruction: x\npool: none.yaml')])), 'cannot be read'],
      [await rejection(readQueryTypes([file('a.yaml', 'instruction: x\npool: [{passage: 3, a: b}]')])), '"passage"'],
      [await rejection(readQueryTypes(['web', 'web'])), 'each type once'],
      [await rejection(readQueryTypes(['user'])), 'give them with exampleQueries'],
    ] as const;
    for (const [error, words] of messages) expect(error.message).to.contain(words);
  });
});

describe('readExampleQueries', () => {
  let corpus: Corpus;
  before(async () => {
    corpus = await loadCorpus([{ id: 'p1', title: 'Lift', text: 'of wings' }]);
  });

  it('reads JSON Lines, with passages by id', async () => {
    const file = join(temporaryDirectory(), 'own.jsonl');
    writeFileSync(file, '{"query": " a ", "passage": "p1", "type": "web"}\n{"query": "b"}\n');
    const { examples } = await readExampleQueries(file, { corpus });
    expect(examples).to.deep.equal([
      { query: 'a', type: 'web', passage: 'Lift of wings' },
      { query: 'b', type: undefined },
    ]);
    writeFileSync(file, '{"query": "a", "passage": "p9"}');
    expect((await rejection(readExampleQueries(file, { corpus }))).message).to.match(
      /own\.jsonl:1 \(field "passage"\).*"p9"/,
    );
  });

  it('reads a text file, and leaves out what must not be shown', async () => {
    const file = join(temporaryDirectory(), 'own.txt');
    writeFileSync(file, 'one\n\ntwo\n');
    const shown = await readExampleQueries(file, { corpus, hidden: new Set(['two']) });
    expect(shown).to.deep.equal({ examples: [{ query: 'one' }], hidden: 1 });
    const error = await rejection(readExampleQueries(file, { corpus, hidden: new Set(['one', 'two']) }));
    expect(error.message).to.contain('All 2 example queries are queries of the test set');
  });

  it('pairs the training queries of a BEIR directory with a relevant passage', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'qrels'));
    writeFileSync(join(directory, 'queries.jsonl'), '{"_id": "1", "text": "flight"}\n{"_id": "2", "text": "none"}\n');
    writeFileSync(join(directory, 'qrels', 'train.tsv'), 'query-id\tcorpus-id\tscore\n1\tp1\t1\n2\tp1\t0\n');
    const { examples } = await readExampleQueries(directory, { corpus });
    expect(examples).to.deep.equal([{ query: 'flight', passage: 'Lift of wings' }]);
  });
});

describe('promptFor', () => {
  it('shows examples that passage, type and seed decide, then the passage', async () => {
    const [web] = await readQueryTypes(['web']);
    const target = { passage: { id: '7', text: 'Wings lift.' }, type: web!, place: 0 };
    const prompt = promptFor(target, { seed: 1 });
    const blocks = prompt.split('\n\n');
    expect(blocks).to.have.length(5);
    expect(blocks.at(-1)).to.equal('Passage: Wings lift.\nQuery:');
    const pairs = web!.pool.map(({ passage, query }) => `Passage: ${passage}\nQuery: ${query}`);
    for (const block of blocks.slice(1, 4)) expect(pairs).to.include(block);
    expect(new Set(blocks).size).to.equal(5);
    expect(promptFor(target, { seed: 1 })).to.equal(prompt);
    const others = [promptFor(target, { seed: 2 }), promptFor({ ...target, place: 1 }, { seed: 1 })];
    for (const other of others) expect(other).to.not.equal(prompt);
  });

  it('names the language, and shows queries without passages as they are', async () => {
    const type = { name: 'user', instruction: 'Write.', examples: 1, pool: [{ query: 'how lift' }] };
    const prompt = promptFor({ passage: { id: '1', text: 'x' }, type, place: 0 }, { seed: 1, language: 'German' });
    expect(prompt).to.match(/^Write\. Write in German, .*\n\nQuery: how lift\n\nPassage: x\nQuery:$/);
  });
});

describe('planRequests', () => {
  const plan = async (ids: string[], more: object = {}) => {
    const passages = ids.map((id) => ({ id, title: '', text: `text of ${id}` }));
    const types = await readQueryTypes(['web', 'random']);
    const models = [{ name: 'm', body: {} }];
    const options = {
      passages,
      types,
      queriesPerPassage: 2,
      models,
      seed: 1,
      temperature: 0.8,
      maxNewTokens: 50,
      ...more,
    };
    const requests = [];
    for await (const request of planRequests(options)) requests.push(request);
    return requests;
  };

  it('goes by passage, type and place, and asks the same of a passage whatever others there are', async () => {
    const requests = await plan(['a', 'b']);
    expect(requests.map(({ passage, type, place }) => `${passage.id} ${type} ${place}`)).to.deep.equal([
      ...['a web 0', 'a web 1', 'a random 0', 'a random 1', 'b web 0', 'b web 1', 'b random 0', 'b random 1'],
    ]);
    expect(new Set(requests.map(({ hash }) => hash)).size).to.equal(8);
    expect(await plan(['b'])).to.deep.equal(requests.slice(4));
  });

  it('hashes all that a model is told', async () => {
    const [request] = await plan(['a']);
    for (const change of [
      { seed: 2 },
      { temperature: 0.7 },
      { maxNewTokens: 51 },
      { models: [{ name: 'n', body: {} }] },
    ]) {
      expect((await plan(['a'], change))[0]!.hash, JSON.stringify(change)).to.not.equal(request!.hash);
    }
    expect((await plan(['a'], { models: [{ name: 'm', body: { top_p: 1 } }] }))[0]!.hash).to.not.equal(request!.hash);
  });

  it('draws the model of each query by the seed where there are several', async () => {
    const models = ['m', 'n'].map((name) => ({ name, body: {} }));
    const ids = Array.from({ length: 20 }, (_, i) => `p${i}`);
    const drawn = (await plan(ids, { models })).map(({ model }) => model);
    expect(drawn.filter((name) => name === 'm').length).to.be.within(25, 55);
    expect((await plan(ids, { models })).map(({ model }) => model)).to.deep.equal(drawn);
  });
});

describe('checkReply', () => {
  const passage = 'the boundary layer grows along the plate and separates where the pressure rises too steeply for it';
  const check = (text: string, finish?: string) => checkReply({ text, finish }, passage, limits);

  it('takes a query', () => {
    expect(check('Query: "why do boundary layers separate"\n\nBecause')).to.deep.equal({
      query: 'why do boundary layers separate',
    });
    expect(check('<think>\nHm.\n</think>\n\nflow separation')).to.deep.equal({ query: 'flow separation' });
  });

  it('recognises empty replies', () => {
    for (const text of ['', ' \n ', '""', '<think>so many thoughts']) {
      expect(check(text), text).to.deep.include({ rejected: 'empty' });
    }
  });

  it('recognises refusals, and not the queries that begin like them', () => {
    for (const text of [
      "I'm sorry, but I can't help with that.",
      'I cannot create a query for this passage.',
      'As an AI language model, I do not have opinions.',
      'Unfortunately, the passage does not say.',
      'Es tut mir leid, dabei kann ich nicht helfen.',
    ]) {
      expect(check(text), text).to.deep.include({ rejected: 'refusal' });
    }
    expect(check('x', 'content_filter')).to.deep.include({ rejected: 'refusal' });
    for (const text of [
      "i can't sleep what to do",
      'sorry lyrics',
      'as an airline pilot how to retire',
      'i cannot open my garage door',
    ]) {
      expect(check(text), text).to.deep.equal({ query: text });
    }
  });

  it('recognises long runs of the passage, by words and whatever the case', () => {
    expect(check('Where does "the Boundary layer grows along the plate and separates"?')).to.deep.include({
      rejected: 'copy',
    });
    expect(check('the boundary layer grows along the plate, and then?')).to.have.property('query');
  });

  it('recognises what is too long or cut off', () => {
    expect(check(Array(21).fill('word').join(' '))).to.deep.include({ rejected: 'too long' });
    expect(check(Array(20).fill('word').join(' '))).to.not.have.property('rejected');
    expect(check('an unfinished', 'length')).to.deep.include({ rejected: 'too long' });
    expect(check('finished\nand more that was cut', 'length')).to.deep.equal({ query: 'finished' });
  });
});

describe('wordsOf', () => {
  it('takes words without punctuation, and finds them where scripts write no spaces', () => {
    expect(wordsOf('The “Drag-rise”, at M=0.8!')).to.deep.equal(['the', 'drag-rise', 'at', 'm=0.8']);
    expect(wordsOf('境界層の剥離とは何か').length).to.be.within(3, 8);
    expect(longestSharedRun(wordsOf('a b c d'), wordsOf('x b c d a b'))).to.equal(3);
  });
});

describe('prompts that come with the package', () => {
  it('are packed by npm', () => {
    const { files } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    expect(files).to.include('prompts');
  });
});

import { expect } from 'chai';
import type { readModelDirectory } from '../lib/models/directory.js';
import { recipeFor } from '../lib/models/recipes.js';
import { settleSettings } from '../lib/models/settings.js';

describe('recipeFor', () => {
  const represent = 'Represent this sentence for searching relevant passages: ';
  const known: [string, string, string, string, number?][] = [
    ['BAAI/bge-small-en-v1.5', represent, '', 'first-token', 512],
    ['Snowflake/snowflake-arctic-embed-m', represent, '', 'first-token', 512],
    ['Snowflake/snowflake-arctic-embed-m-v1.5', represent, '', 'first-token', 512],
    ['thenlper/gte-base', '', '', 'mean', 512],
    ['intfloat/e5-base-v2', 'query: ', 'passage: ', 'mean', 512],
    ['intfloat/multilingual-e5-small', 'query: ', 'passage: ', 'mean', 512],
    ['sentence-transformers/all-MiniLM-L6-v2', '', '', 'mean', 256],
    ['/models/all-MiniLM-L6-v2/', '', '', 'mean', 256],
    ['sentence-transformers/all-mpnet-base-v2', '', '', 'mean', 384],
    ['sentence-transformers/sentence-t5-base', '', '', 'mean'],
    ['intfloat/multilingual-e5-large', 'query: ', 'passage: ', 'mean', 512],
    ['BAAI/bge-m3', '', '', 'first-token', 8192],
    ['Snowflake/snowflake-arctic-embed-l-v2.0', 'query: ', '', 'first-token', 8192],
    ['Snowflake/snowflake-arctic-embed-m-v2.0', 'query: ', '', 'first-token', 8192],
    ['Alibaba-NLP/gte-base-en-v1.5', '', '', 'first-token', 8192],
    ['Alibaba-NLP/gte-multilingual-base', '', '', 'first-token', 8192],
    ['Alibaba-NLP/gte-modernbert-base', '', '', 'first-token', 8192],
    ['nomic-ai/modernbert-embed-base', 'search_query: ', 'search_document: ', 'mean', 8192],
  ];
  for (const [name, queryPrefix, passagePrefix, pooling, maxLength] of known) {
    it(`knows ${name}`, () => {
      expect(recipeFor(name)).to.include({ queryPrefix, passagePrefix, pooling });
      expect(recipeFor(name)?.maxLength).to.equal(maxLength);
    });
  }

  it('knows nothing of others', () => {
    const others = ['my-model', 'intfloat/e5-mistral-7b-instruct', 'BAAI/bge-reranker-base', ''];
    for (const name of ['intfloat/multilingual-e5-large-instruct', 'BAAI/bge-reranker-v2-m3', ...others]) {
      expect(recipeFor(name), name).to.equal(undefined);
    }
  });
});

describe('settleSettings', () => {
  const directory = {
    ...{ pooling: undefined, prompts: { query: undefined, passage: undefined }, maxLength: 512, queryMaxLength: 512 },
    ...{ saysLengths: true, architecture: { maxPositions: 512 } },
  } as unknown as Awaited<ReturnType<typeof readModelDirectory>>;

  it("takes the recipe's word where the directory says nothing", () => {
    expect(settleSettings('intfloat/e5-small', directory)).to.deep.equal({
      ...{
        pooling: 'mean',
        normalize: true,
        queryPrefix: 'query: ',
        passagePrefix: 'passage: ',
        maxLength: 512,
        queryMaxLength: 512,
      },
    });
    expect(settleSettings('unknown', directory)).to.include({ pooling: 'mean', queryPrefix: '', passagePrefix: '' });
  });

  it("puts the directory's word above the recipe's, and the caller's above both", () => {
    const said = { ...directory, pooling: 'first-token' as const, prompts: { query: '', passage: 'd: ' } };
    expect(settleSettings('intfloat/e5-small', said)).to.include({
      pooling: 'first-token',
      queryPrefix: '',
      passagePrefix: 'd: ',
    });
    const wishes = { pooling: 'mean' as const, queryPrefix: 'Q ', passagePrefix: '', maxLength: 128, normalize: false };
    expect(settleSettings('intfloat/e5-small', said, wishes)).to.deep.equal({ ...wishes, queryMaxLength: 128 });
  });

  it("takes the recipe's length where the directory says none, never more than the positions", () => {
    const silent = { ...directory, saysLengths: false };
    const lengthsOf = (...args: Parameters<typeof settleSettings>) => {
      const { maxLength, queryMaxLength } = settleSettings(...args);
      return [maxLength, queryMaxLength];
    };
    expect(lengthsOf('sentence-transformers/all-MiniLM-L6-v2', silent)).to.deep.equal([256, 256]);
    expect(lengthsOf('sentence-transformers/all-MiniLM-L6-v2', directory)).to.deep.equal([512, 512]);
    expect(lengthsOf('BAAI/bge-m3', silent)).to.deep.equal([512, 512]);
    expect(lengthsOf('unknown', silent)).to.deep.equal([512, 512]);
    const model = 'sentence-transformers/all-MiniLM-L6-v2';
    expect(lengthsOf(model, silent, { queryMaxLength: 32 })).to.deep.equal([256, 32]);
    expect(lengthsOf(model, silent, { maxLength: 300 })).to.deep.equal([300, 300]);
  });
});

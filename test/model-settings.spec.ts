import { expect } from 'chai';
import type { readModelDirectory } from '../lib/models/directory.js';
import { recipeFor } from '../lib/models/recipes.js';
import { settleSettings } from '../lib/models/settings.js';

describe('recipeFor', () => {
  const represent = 'Represent this sentence for searching relevant passages: ';
  const known: [string, string, string, string][] = [
    ['BAAI/bge-small-en-v1.5', represent, '', 'first-token'],
    ['Snowflake/snowflake-arctic-embed-m', represent, '', 'first-token'],
    ['Snowflake/snowflake-arctic-embed-m-v1.5', represent, '', 'first-token'],
    ['thenlper/gte-base', '', '', 'mean'],
    ['intfloat/e5-base-v2', 'query: ', 'passage: ', 'mean'],
    ['intfloat/multilingual-e5-small', 'query: ', 'passage: ', 'mean'],
    ['sentence-transformers/all-MiniLM-L6-v2', '', '', 'mean'],
    ['/models/all-MiniLM-L6-v2/', '', '', 'mean'],
    ['sentence-transformers/all-mpnet-base-v2', '', '', 'mean'],
    ['sentence-transformers/sentence-t5-base', '', '', 'mean'],
    ['intfloat/multilingual-e5-large', 'query: ', 'passage: ', 'mean'],
    ['BAAI/bge-m3', '', '', 'first-token'],
    ['Snowflake/snowflake-arctic-embed-l-v2.0', 'query: ', '', 'first-token'],
    ['Snowflake/snowflake-arctic-embed-m-v2.0', 'query: ', '', 'first-token'],
    ['Alibaba-NLP/gte-base-en-v1.5', '', '', 'first-token'],
    ['Alibaba-NLP/gte-multilingual-base', '', '', 'first-token'],
    ['Alibaba-NLP/gte-modernbert-base', '', '', 'first-token'],
    ['nomic-ai/modernbert-embed-base', 'search_query: ', 'search_document: ', 'mean'],
  ];
  for (const [name, queryPrefix, passagePrefix, pooling] of known) {
    it(`knows ${name}`, () => {
      expect(recipeFor(name)).to.include({ queryPrefix, passagePrefix, pooling });
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
});

import { expect } from 'chai';
import { checkPositives, type LabelCounts, type Labelling, labelList, labelled } from '../lib/training/labels.js';
import type { TrainingList } from '../lib/types.js';
import { rejection } from './rejection.js';

const list = (...scores: number[]): TrainingList => ({
  ...{ id: 'q1', query: 'wings' },
  passages: scores.map((score, i) => ({ id: `p${i}`, score })),
});

async function* streamOf(lists: readonly TrainingList[]) {
  yield* lists;
}

async function countsOf(lists: readonly TrainingList[], labelling: Labelling): Promise<LabelCounts> {
  let counts: LabelCounts | undefined;
  for await (const _ of labelled(streamOf(lists), labelling, { source: lists, onEnd: (all) => (counts = all) }));
  return counts!;
}

describe('labelled', () => {
  const first = { labels: 'first', loss: 'listwise' } as const;
  const cases: [what: string, scores: number[], judged: number][] = [
    ['two positives', [1, 1, 0, 0], 1],
    ['two positives whose score is a fraction', [0.9, 0.9, 0.1], 1],
    ['grades', [3, 2, 0], 1],
    ['one positive', [1, 0, 0], 0],
    ['no judgements at all', [0, 0, 0], 0],
    ["a teacher's scores, another passage ahead", [0.8, 0.9, 0.1], 0],
    ["a teacher's scores, all alike", [0.5, 0.5, 0.5], 0],
    ['logits that happen to be whole', [-2, -3, -5], 0],
  ];
  for (const [what, scores, judged] of cases) {
    it(`takes scores for ${judged ? '' : 'no '}judgements of more than the first: ${what}`, async () => {
      expect(await countsOf([list(1, 0), list(...scores)], first)).to.deep.equal({ lists: 2, positive: 2, judged });
    });
  }

  it('counts positives by the labels that come of the scores', async () => {
    const lists = [list(0, 0), list(0.2, 0)];
    expect(await countsOf(lists, { labels: 'scores', loss: 'bce' })).to.include({ lists: 2, positive: 1 });
    expect(await countsOf(lists, first)).to.include({ positive: 2 });
  });

  it('ends in what onEnd throws', async () => {
    const given = [list(0, 0)];
    const onEnd = (counts: LabelCounts) => checkPositives(counts, 'lists.jsonl');
    const read = async () => {
      for await (const _ of labelled(streamOf(given), { labels: 'scores', loss: 'bce' }, { source: given, onEnd }));
    };
    expect((await rejection(read())).message).to.equal(
      'lists.jsonl: Expected labels above 0 to learn from but all labels of all lists are 0; check the scores.',
    );
  });
});

describe('labelList', () => {
  it('refuses labels whose sum is no number', () => {
    expect(() => labelList(list(1e308, 1e308), { labels: 'scores', loss: 'listwise' }, 'a.jsonl')).to.throw(
      'a.jsonl: The list of query "q1" has labels whose sum is beyond all numbers; give smaller ones.',
    );
  });
});

import { DataError, describe } from '../errors.js';
import type { PairLoss } from '../native.js';
import type { TrainingList } from '../types.js';
import { badList } from './list-source.js';
import type { ListsSource } from './sources.js';

/**
 * What a list's labels are. 'first': 1 for its first passage, the positive, and 0 for the others, whatever their
 * scores. 'scores': its scores, such as grades of relevance or probabilities.
 */
export type LabelChoice = 'first' | 'scores';

export interface Labelling {
  labels: LabelChoice;
  loss: PairLoss;
}

/** Lists with labels where they are to have any, one after the other; see labelList. */
export async function* labelled(
  lists: AsyncIterable<TrainingList>,
  labelling: Labelling | undefined,
  source: ListsSource,
): AsyncGenerator<TrainingList> {
  for await (const list of lists) yield labelling ? labelList(list, labelling, source) : list;
}

/**
 * A list with labels in the place of scores.
 * @param source where it is from, for messages
 * @throws DataError or ListwiseError BAD_DATA for a label that is below 0, for 'bce' one above 1, and for 'listwise' a
 *   list without any above 0
 */
export function labelList(list: TrainingList, { labels, loss }: Labelling, source: ListsSource): TrainingList {
  if (labels === 'first') {
    return { ...list, passages: list.passages.map((passage, i) => ({ ...passage, score: i === 0 ? 1 : 0 })) };
  }
  const wrong = list.passages.find(({ score }) => score < 0 || (loss === 'bce' && score > 1));
  if (wrong) {
    const expected = loss === 'bce' ? "from 0 to 1, as loss 'bce' needs them" : 'of at least 0';
    const problem = `has the label ${wrong.score} for passage ${describe(wrong.id)}; expected labels ${expected}.`;
    throw refusal(list.id, problem, source);
  }
  if (loss === 'listwise' && list.passages.every(({ score }) => score === 0)) {
    const problem =
      "has no positive: all its labels are 0. Loss 'listwise' needs one above 0 in each list; leave the list out, or " +
      "give loss 'bce'.";
    throw refusal(list.id, problem, source);
  }
  return list;
}

function refusal(id: string, problem: string, source: ListsSource): Error {
  if (typeof source !== 'string') return badList(id, problem);
  return new DataError({ file: source }, `The list of query ${describe(id)} ${problem}`);
}

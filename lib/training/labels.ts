import { DataError, describe, ListwiseError } from '../errors.js';
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

/** What lists say of the labels that are made of them. */
export interface LabelCounts {
  lists: number;
  /** Lists with a label above 0. */
  positive: number;
  /** Lists whose scores look like judgements by which others than the first are relevant, too. */
  judged: number;
}

/**
 * Lists with labels, one after the other; see labelList.
 * @param onEnd gets the counts once all were read, and may throw
 */
export async function* labelled(
  lists: AsyncIterable<TrainingList>,
  labelling: Labelling,
  { source, onEnd }: { source: ListsSource; onEnd?: (counts: LabelCounts) => void },
): AsyncGenerator<TrainingList> {
  const counts: LabelCounts = { lists: 0, positive: 0, judged: 0 };
  for await (const list of lists) {
    const own = labelList(list, labelling, source);
    counts.lists += 1;
    if (own.passages.some(({ score }) => score > 0)) counts.positive += 1;
    if (hasFurtherPositives(list)) counts.judged += 1;
    yield own;
  }
  onEnd?.(counts);
}

/** A teacher's scores differ and are fractions; grades are whole numbers, and positives of one kind have one score. */
function hasFurtherPositives({ passages }: TrainingList): boolean {
  const [first, ...others] = passages.map(({ score }) => score) as [number, ...number[]];
  const least = Math.min(...others);
  if (others.some((score) => score === first && score > least)) return true;
  return Number.isInteger(first) && others.every(Number.isInteger) && others.some((score) => score > 0);
}

/** @throws DataError or ListwiseError BAD_DATA where no list has a label above 0 */
export function checkPositives({ positive }: LabelCounts, source: ListsSource): void {
  if (positive > 0) return;
  const problem = 'Expected labels above 0 to learn from but all labels of all lists are 0; check the scores.';
  if (typeof source === 'string') throw new DataError({ file: source }, problem);
  throw new ListwiseError('BAD_DATA', problem);
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
  if (!Number.isFinite(list.passages.reduce((sum, { score }) => sum + score, 0))) {
    throw refusal(list.id, 'has labels whose sum is beyond all numbers; give smaller ones.', source);
  }
  return list;
}

function refusal(id: string, problem: string, source: ListsSource): Error {
  if (typeof source !== 'string') return badList(id, problem);
  return new DataError({ file: source }, `The list of query ${describe(id)} ${problem}`);
}

import type { DroppedQuery } from '../candidates/selection.js';
import { ListwiseError } from '../errors.js';
import { readJsonl } from '../formats/jsonl.js';
import type { TeacherReport } from '../lists/teacher-report.js';

/** A teacher's scores left no list to train on. */
export class NoListsError extends ListwiseError {
  constructor(
    message: string,
    /** What the teacher is like; the message has its warnings. */
    readonly teacher: TeacherReport,
  ) {
    super('BAD_DATA', message);
  }
}

/** The dropped queries that a stage wrote. */
export async function readDropped(file: string): Promise<DroppedQuery[]> {
  const dropped: DroppedQuery[] = [];
  for await (const { value } of readJsonl(file)) dropped.push(value as unknown as DroppedQuery);
  return dropped;
}

/** What to say when every query was dropped before a teacher scored any, with where and an example. */
export function nothingToTrainOn(file: string, dropped: readonly DroppedQuery[]): ListwiseError {
  return new ListwiseError('BAD_DATA', `${describeDropped(file, dropped)} ${GENERAL_REMEDY}`);
}

/** The same where the teacher's scores were the last straw: what is wrong with them is the remedy. */
export function noLists(file: string, dropped: readonly DroppedQuery[], teacher: TeacherReport): NoListsError {
  const warnings = teacher.warnings.map(({ type, problem, remedy }) => {
    const whose = type === undefined ? '' : `${type}: `;
    return `${whose}${problem}; ${remedy}.`;
  });
  const remedy = warnings.length > 0 ? warnings.join(' ') : GENERAL_REMEDY;
  return new NoListsError(`${describeDropped(file, dropped)} ${remedy}`, teacher);
}

const GENERAL_REMEDY =
  'Check that queries and teacher fit the corpus, or loosen maxSourceRank, minCandidates or listLength.';

function describeDropped(file: string, dropped: readonly DroppedQuery[]): string {
  const counts = new Map<string, number>();
  for (const { stage } of dropped) counts.set(stage, (counts.get(stage) ?? 0) + 1);
  const stages = Array.from(counts, ([stage, count]) => `${count} by stage ${stage}`).join(', ');
  const example = dropped.at(-1);
  const shown = example ? ` For example ${example.query}: ${example.reason}.` : '';
  return `No query is left to train on: ${dropped.length} were dropped (${stages}).${shown} ${file} has the reason of each.`;
}

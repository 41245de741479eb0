import { ListwiseError } from '../errors.js';
import type { TeacherReport } from '../lists/teacher-report.js';
import { formatTeacherReport } from '../lists/teacher-table.js';
import { duration } from '../progress.js';
import type { QueryEstimate } from '../queries/writing.js';
import { NoListsError } from '../specialize/dropped.js';
import { describeInvalidation, type Invalidation } from '../specialize/invalidation.js';
import type { StageEvent } from '../specialize/stage-runner.js';
import type { StepRecord } from '../training/log.js';
import type { TrainingEvent } from '../training/run-start.js';
import type { OptionSpec, Session } from './command.js';
import { estimateInWords, llmValues } from './llm-options.js';
import { teacherValue } from './teacher-option.js';
import { tellEvent } from './train.js';

// What the commands that work through the stages of a run directory, specialize and study, have in common.

export const runSwitches: readonly OptionSpec[] = [
  { name: 'dryRun', kind: 'flag', help: 'print what would be done, why, and what it takes, and do nothing' },
  { name: 'yes', kind: 'flag', help: 'agree to lose what changed options or inputs make worthless' },
];

/** The values of options that are texts on the command line and more than that to the function, and its work. */
export async function runValues(options: Record<string, unknown>, { signal, onProgress }: Session) {
  return { ...teacherValue(options), ...(await llmValues(options)), signal, onProgress };
}

/** What hears of a run's work and says it; `isAgreed`: work may be lost without asking. */
export function runListeners(session: Session, isAgreed: boolean) {
  const { say, detail } = session;
  return {
    onEstimate: (estimate: QueryEstimate) => say(estimateInWords(estimate), { estimate }),
    onInvalidate: (lost: Invalidation<string>[]) => isAgreed || agree(lost, session),
    onStep: (step: StepRecord) => detail(`step ${step.step}: loss ${step.loss.toFixed(4)}`, { ...step }),
    onStage: (event: StageEvent<string>) => tell(event, session),
    onEvent: (event: TrainingEvent) => tellEvent(event, session),
  };
}

/** Says what would be lost, and asks whether that is meant. */
async function agree(lost: Invalidation<string>[], { ask }: Session): Promise<boolean> {
  const lines = lost.map(describeInvalidation);
  const answer = await ask(`${lines.join('\n')}\nWhat these stages did is lost. Go on?`);
  if (answer !== undefined) return answer;
  throw new ListwiseError(
    'NOT_CONFIRMED',
    `This would lose work that the run has done: ${lines.join('; ')}. Nothing was done. Add --yes to agree, or give the ` +
      'options of the run, or another --output.',
  );
}

function tell(event: StageEvent<string>, session: Session): void {
  const { say, detail } = session;
  const { stage, status } = event;
  if (status === 'started') detail(`${stage}: started`, event);
  else if (status === 'reused') say(`${stage}: done before`, event);
  else if (status === 'continued') say(`${stage}: was begun before, goes on`, event);
  else if (status === 'done') say(`${stage}: done in ${duration(event.seconds)}${counted(event.counts)}`, event);
  else {
    const later = event.later.length ? `, and after it ${event.later.join(', ')}` : '';
    say(`${stage}: done again${later}: ${event.reason}`, event);
  }
  if (stage === 'lists' && (status === 'done' || status === 'reused')) tellTeacher(event.counts, session);
}

/** Waits for a run. Where it ends because the teacher left no list, what the teacher is like is said before that. */
export async function withTeacherTold<T>(run: Promise<T>, { say }: Session): Promise<T> {
  try {
    return await run;
  } catch (error) {
    // The error itself has the warnings.
    if (error instanceof NoListsError) say(formatTeacherReport({ ...error.teacher, warnings: [] }), error.teacher);
    throw error;
  }
}

/** What the teacher is like, before anything is trained by it. */
function tellTeacher(counts: unknown, { say }: Session): void {
  const { teacher } = (counts ?? {}) as { teacher?: TeacherReport };
  if (teacher) say(formatTeacherReport(teacher), { warnings: teacher.warnings });
}

/** The plain numbers and words among a stage's counts. */
export function counted(counts: unknown): string {
  if (typeof counts !== 'object' || counts === null) return '';
  const plain = Object.entries(counts).filter(([, value]) => ['number', 'string'].includes(typeof value));
  const shown = plain.map(
    ([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`,
  );
  return shown.length ? `; ${shown.join(', ')}` : '';
}

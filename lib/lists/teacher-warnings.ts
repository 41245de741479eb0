import type { TeacherReport, TeacherWarning, TypeReport } from './teacher-report.js';

/** Shares from which a type is worth a warning. */
const MOST_LISTS = 0.5;
const FEW_FIRST = 0.25;
const MANY_TIES = 0.1;
const MANY_UNSCORED = 0.05;

type Finding = Omit<TeacherWarning, 'type'>;

/** What will make training worse than it need be, with what to do. @param isMatched whether `match` chose the temperature */
export function warningsOf(report: Omit<TeacherReport, 'warnings'>, isMatched: boolean): TeacherWarning[] {
  const { match } = report;
  const all: TeacherWarning[] = [];
  for (const [type, found] of Object.entries(report.types)) {
    const equal = equalScores(found);
    // Where scores are equal, what comes first is chance: further warnings would mislead.
    const findings = equal ? [equal] : [...flatness(found, { report, isMatched }), ...order(found)];
    all.push(...findings.map((finding) => ({ type, ...finding })));
  }
  if (match?.bound) {
    const kind = match.bound === 'lowest' ? 'flat' : 'peaked';
    const problem =
      `No temperature makes the teacher as sharp as the model (mean entropy ${match.studentEntropy.toFixed(2)}): its ` +
      `scores are too ${kind}, and "match" takes the ${match.bound} temperature it may, ${match.temperature.toPrecision(3)}`;
    all.push({ problem, remedy: 'take a teacher whose scores differ more, or set teacherTemperature yourself' });
  }
  return all;
}

interface Context {
  report: Omit<TeacherReport, 'warnings'>;
  isMatched: boolean;
}

function equalScores({ dropped, scored, scores }: TypeReport): Finding | undefined {
  const isOne = scores?.different === 1;
  if (!isOne && !dropped['equal scores']) return undefined;
  const which = isOne ? `the same score, ${scores.percentiles.p50}` : 'as good as all the same score';
  const problem = `The teacher gave the candidates of ${scored} queries ${which}, so none of them has a list`;
  return { problem, remedy: 'check what the teacher answers; take another for these queries' };
}

function flatness({ entropy }: TypeReport, { report, isMatched }: Context): Finding[] {
  const findings: Finding[] = [];
  const { match, teacherTemperature } = report;
  if (!entropy || !match || teacherTemperature === undefined) return findings;
  const chosen = `at temperature ${teacherTemperature.toPrecision(3)}`;
  const other = isMatched ? '' : `set teacherTemperature to "match" (${match.temperature.toPrecision(3)}), or `;
  if (entropy.flat > MOST_LISTS) {
    const problem = `The teacher is flat ${chosen}: over ${percent(entropy.flat)} of the lists it spreads evenly, and teaches no order`;
    findings.push({
      problem,
      remedy: `${other}take a teacher whose scores differ more, or a lower teacherTemperature`,
    });
  }
  if (entropy.peaked > MOST_LISTS) {
    const problem = `The teacher puts all mass on one passage ${chosen} in ${percent(entropy.peaked)} of the lists, and teaches no more than which is best`;
    findings.push({ problem, remedy: `${other}a higher teacherTemperature` });
  }
  return findings;
}

function order({ queries, dropped, scored, positiveFirst, tiedTop }: TypeReport): Finding[] {
  const findings: Finding[] = [];
  if (scored > 0 && positiveFirst < FEW_FIRST) {
    findings.push({
      problem: `The teacher puts the positive first for only ${percent(positiveFirst)} of the queries`,
      remedy:
        'see dropped.jsonl (filter "source not first"): the queries may be vague, passages may repeat one another ' +
        '(nearDuplicateThreshold), or the teacher is too weak for them',
    });
  }
  if (scored > 0 && tiedTop > MANY_TIES) {
    findings.push({
      problem: `For ${percent(tiedTop)} of the queries several candidates share the highest score`,
      remedy:
        'take finer scores: log-probabilities from an LLM as judge, a higher topGrade, or a second teacher beside it',
    });
  }
  const few = dropped['few scores'] ?? 0;
  if (few > MANY_UNSCORED * queries) {
    findings.push({
      problem: `${few} of ${queries} queries have fewer scores than a list has passages`,
      remedy: 'have the teacher score all candidates, or give a lower listLength',
    });
  }
  return findings;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

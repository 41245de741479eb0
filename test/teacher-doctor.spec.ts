import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { DroppedQuery } from '../lib/candidates/selection.js';
import { runCommandLine } from '../lib/cli/program.js';
import { distribution } from '../lib/lists/distribution.js';
import { type DoctorInput, examineTeacher } from '../lib/lists/doctor.js';
import type { TeacherReport } from '../lib/lists/teacher-report.js';
import { formatTeacherReport } from '../lib/lists/teacher-table.js';
import { Random } from '../lib/random.js';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { specialize } from '../lib/specialize/specialize.js';
import type { TeacherScores } from '../lib/teachers/teacher.js';
import type { Query, TrainingList } from '../lib/types.js';
import { run } from './command-lines.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { jsonl, tinyRun, writeCollection } from './tiny-run.js';

const random = new Random(9);
const LENGTH = 6;

/** −Σ p ln p of softmax(scores / temperature), number by number. */
function entropy(scores: number[], temperature: number): number {
  const weights = scores.map((score) => Math.exp(score / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return -weights.reduce((total, weight) => total + (weight / sum) * Math.log(weight / sum), 0);
}
/** The lines of a file, or of a text. */
const lines = (of: string, isText = false) => (isText ? of : readFileSync(of, 'utf8')).trimEnd().split('\n');
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Lists of a type, with the scores that `score` gives to the places of a list. */
function listsOf(type: string, count: number, score: (place: number) => number): TrainingList[] {
  return Array.from({ length: count }, (_, i) => ({
    ...{ id: `${type}${i}`, query: 'x', type, source: 'p0' },
    passages: Array.from({ length: LENGTH }, (_, p) => ({ id: `p${p}`, score: score(p) })),
  }));
}

/** An input in which the teacher's raw scores are ten times those of the lists. */
function inputOf(train: TrainingList[], more: Partial<DoctorInput> = {}): DoctorInput {
  const queries: Query[] = train.map(({ id, query, type, source }) => ({ id, text: query, type, source }));
  const scores: TeacherScores[] = train.map(({ id, passages }) => ({
    query: id,
    passages: passages.map((passage) => ({ id: passage.id, score: 10 * passage.score })),
  }));
  const student = ({ passages }: TrainingList) => passages.map((_, p) => 0.8 - 0.05 * p);
  return { queries, dropped: [], scores, train, dev: [], student, ...more };
}

const options = {
  ...{ listLength: LENGTH, teacherTemperature: 0.3, studentTemperature: 0.05, temperatureLists: 4096, seed: 1 },
};

describe('distribution', () => {
  it('counts values, different ones, and takes percentiles', async () => {
    expect(await distribution([4, -2, 1, 10, 0.5, 1])).to.deep.equal({
      ...{ count: 6, different: 5 },
      // numpy.percentile
      percentiles: { p0: -2, p1: -1.875, p25: 0.625, p50: 1, p75: 3.25, p99: 9.700000000000001, p100: 10 },
    });
    expect(await distribution([])).to.equal(undefined);
  });
});

describe('examineTeacher', () => {
  it('gives shares, distributions and entropies by type, and what match chooses', async () => {
    const web = listsOf('web', 8, (p) => (p === 0 ? 1 : random.float()));
    const title = listsOf('title', 5, (p) => 1 - p / 10);
    const dropped: DroppedQuery[] = [
      { query: 'web9', type: 'web', stage: 'candidates', filter: 'source rank', reason: '' },
      { query: 'web10', type: 'web', stage: 'lists', filter: 'source not first', reason: '' },
    ];
    const input = inputOf([...web, ...title], { dropped });
    // A query whose source is third, behind a tie.
    const scores = [...(input.scores as TeacherScores[])];
    const passages = [5, 7, 7, 1, 1, 1].map((score, p) => ({ id: `p${p}`, score }));
    scores.push({ query: 'web10', passages });
    const queries = [...input.queries, { id: 'web10', text: 'x', type: 'web', source: 'p0' }];
    const report = await examineTeacher({ ...input, scores, queries }, options);

    const found = report.types.web!;
    expect(found).to.deep.include({ queries: 10, lists: 8, scored: 9 });
    expect(found.dropped).to.deep.equal({ 'source rank': 1, 'source not first': 1 });
    expect(found.positiveFirst).to.be.closeTo(8 / 9, 1e-12);
    expect(found.reciprocalRank).to.be.closeTo((8 + 1 / 3) / 9, 1e-12);
    expect(found.tiedTop).to.be.closeTo(1 / 9, 1e-12);
    expect(found.scores!.count).to.equal(54);
    expect(found.scores!.percentiles.p100).to.equal(10);
    expect(found.normalised!.count).to.equal(48);
    expect(found.normalised!.percentiles.p100).to.equal(1);
    const ofTeacher = (lists: TrainingList[], temperature: number) =>
      mean(
        lists.map((list) =>
          entropy(
            list.passages.map(({ score }) => score),
            temperature,
          ),
        ),
      );
    const student = entropy([0.8, 0.75, 0.7, 0.65, 0.6, 0.55], 0.05);
    expect(found.entropy!.teacher).to.be.closeTo(ofTeacher(web, 0.3), 1e-9);
    expect(found.entropy!.student).to.be.closeTo(student, 1e-9);
    expect(report.types.title!.entropy!.teacher).to.be.closeTo(ofTeacher(title, 0.3), 1e-9);
    expect(report.match!.studentEntropy).to.be.closeTo(student, 1e-9);
    expect(ofTeacher([...web, ...title], report.match!.temperature)).to.be.closeTo(student, 1e-6);
    expect(report.teacherTemperature).to.equal(0.3);
    expect((await examineTeacher(input, { ...options, teacherTemperature: 'match' })).teacherTemperature).to.be.within(
      0.01,
      0.3,
    );
  });

  it('warns where lists are flat, with the remedy', async () => {
    const input = inputOf(listsOf('web', 6, (p) => 0.5 - 0.001 * p));
    const { types, warnings } = await examineTeacher(input, options);
    expect(types.web!.entropy).to.include({ flat: 1, peaked: 0 });
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.include({ type: 'web' });
    expect(warnings[0]!.problem).to.equal(
      'The teacher is flat at temperature 0.300: over 100 % of the lists it spreads evenly, and teaches no order',
    );
    expect(warnings[0]!.remedy).to.match(/^set teacherTemperature to "match" \(0\.00\d+\), or take a teacher/);
    expect((await examineTeacher(input, { ...options, teacherTemperature: 'match' })).warnings).to.deep.equal([]);
  });

  it('warns where all mass is on one passage, and where no temperature helps', async () => {
    const input = inputOf(listsOf('web', 6, (p) => (p === 0 ? 1 : 0.1 * p)));
    const { types, warnings } = await examineTeacher(input, { ...options, teacherTemperature: 0.01 });
    expect(types.web!.entropy).to.include({ flat: 0, peaked: 1 });
    expect(warnings[0]!.problem).to.contain('puts all mass on one passage at temperature 0.0100 in 100 % of the lists');
    expect(warnings[0]!.remedy).to.contain('a higher teacherTemperature');
    const equal = await examineTeacher(inputOf(listsOf('web', 6, () => 0.5)), {
      ...options,
      teacherTemperature: 'match',
    });
    expect(equal.warnings.map(({ problem }) => problem).join(' ')).to.contain(
      'No temperature makes the teacher as sharp',
    );
  });

  it('warns of a teacher that seldom puts the positive first, of ties, and of missing scores', async () => {
    const input = inputOf(listsOf('web', 6, (p) => 1 - p / 10));
    const scores = Array.from({ length: 30 }, (_, i): TeacherScores => {
      const of = i < 6 ? [6, 5, 4, 3, 2, 1] : [1, 3, 3, 2, 1, 0];
      return { query: `web${i}`, passages: of.map((score, p) => ({ id: `p${p}`, score })) };
    });
    const queries = scores.map(({ query }) => ({ id: query, text: 'x', type: 'web', source: 'p0' }));
    const dropped: DroppedQuery[] = Array.from({ length: 9 }, (_, i) => ({
      ...{ query: `few${i}`, type: 'web', stage: 'lists', filter: 'few scores', reason: '' },
    }));
    const { warnings } = await examineTeacher({ ...input, queries, scores, dropped }, options);
    expect(warnings.map(({ problem }) => problem)).to.deep.equal([
      'The teacher puts the positive first for only 20 % of the queries',
      'For 80 % of the queries several candidates share the highest score',
      '9 of 15 queries have fewer scores than a list has passages',
    ]);
    for (const { remedy } of warnings) expect(remedy).to.have.length.above(20);
  });
});

describe('examineTeacher of a teacher that left no list', () => {
  const none = (scores: TeacherScores[], filter: DroppedQuery['filter']) => {
    const queries = scores.map(({ query }) => ({ id: query, text: 'x', type: 'web', source: 'p0' }));
    const dropped = queries.map(
      ({ id, type }): DroppedQuery => ({ query: id, type, stage: 'lists', filter, reason: '' }),
    );
    return examineTeacher({ ...inputOf([]), queries, scores, dropped }, { ...options, teacherTemperature: 'match' });
  };
  const scoresOf = (values: number[]) =>
    Array.from(
      { length: 7 },
      (_, i): TeacherScores => ({
        query: `web${i}`,
        passages: values.map((score, p) => ({ id: `p${p}`, score })),
      }),
    );

  it('says that all scores are the same, and nothing that only follows from it', async () => {
    const report = await none(scoresOf([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]), 'equal scores');
    expect(report.warnings).to.deep.equal([
      {
        type: 'web',
        problem: 'The teacher gave the candidates of 7 queries the same score, 0.5, so none of them has a list',
        remedy: 'check what the teacher answers; take another for these queries',
      },
    ]);
    // Without the filter's count, too: the source may be last of the equal ones everywhere.
    expect((await none(scoresOf([2, 2, 2, 2, 2, 2]), 'source not first')).warnings[0]!.problem).to.contain(
      'score, 2, so',
    );
    expect(report).to.not.have.any.keys('entropy');
    expect([report.match, report.teacherTemperature]).to.deep.equal([undefined, undefined]);
    expect(report.types.web).to.deep.include({ queries: 7, lists: 0, scored: 7, tiedTop: 1 });
    expect(formatTeacherReport(report).split('\n')).to.include('no list is left, so there is no temperature to choose');
  });

  it('says so where the scores are as good as the same', async () => {
    const scores = scoresOf([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    scores[0]!.passages = scores[0]!.passages.map((passage, p) => (p === 0 ? { ...passage, score: 0.6 } : passage));
    expect((await none(scores, 'equal scores')).warnings.map(({ problem }) => problem)).to.deep.equal([
      'The teacher gave the candidates of 7 queries as good as all the same score, so none of them has a list',
    ]);
  });

  it('says that the source never comes first', async () => {
    const { warnings } = await none(scoresOf([1, 6, 5, 4, 3, 2]), 'source not first');
    expect(warnings.map(({ problem }) => problem)).to.deep.equal([
      'The teacher puts the positive first for only 0 % of the queries',
    ]);
  });
});

describe('formatTeacherReport', () => {
  it('has a column a type, and the warnings at its end', async () => {
    const report = await examineTeacher(inputOf(listsOf('web', 6, (p) => 0.5 - 0.001 * p)), options);
    const lines = formatTeacherReport(report).split('\n');
    expect(lines[0]).to.match(/^ +web$/);
    expect(lines.find((line) => line.startsWith('positive first'))).to.match(/100 %$/);
    expect(lines.find((line) => line.startsWith('teacher temperature'))).to.match(
      /^teacher temperature 0\.300 \("match" would choose 0\.00\d+\), the model's 0\.05; entropy in nats, at most 1\.79$/,
    );
    expect(lines.at(-2)).to.match(/^warning: web: The teacher is flat/);
    expect(lines.at(-1)).to.match(/^ +-> set teacherTemperature to "match"/);
  });
});

describe('the teacher doctor of a run', function () {
  this.timeout(60_000);

  it('is in the run directory and on the terminal, and foresees the temperature that training chooses', async () => {
    const output = join(temporaryDirectory(), 'run');
    const given = tinyRun({ collection: writeCollection(), model: writeTinyModel(), output, until: 'training' });
    const { stages } = await specialize(given);
    const stored: TeacherReport = JSON.parse(readFileSync(join(output, 'teacher-doctor.json'), 'utf8'));
    expect((stages.lists!.counts as Record<string, unknown>).teacher).to.deep.equal(stored);
    expect(Object.keys(stored.types)).to.deep.equal(['title', 'web']);
    for (const { queries, lists, dropped } of Object.values(stored.types)) {
      expect(queries).to.equal(60);
      expect(lists + Object.values(dropped).reduce((sum, count) => sum + count, 0)).to.equal(60);
    }
    const { temperatureMatch, teacherTemperature } = stages.training!.counts as Record<string, any>;
    expect(stored.teacherTemperature).to.be.closeTo(teacherTemperature, 1e-4 * teacherTemperature);
    expect(stored.match!.studentEntropy).to.be.closeTo(temperatureMatch.studentEntropy, 1e-5);

    const written = { stdout: '', stderr: '' };
    const stream = (name: 'stdout' | 'stderr') => ({ write: (text: string) => (written[name] += text) });
    const streams = { stdout: stream('stdout'), stderr: { ...stream('stderr'), isTTY: false } };
    const code = await runCommandLine(['doctor', '--run', output], streams as any);
    expect(written.stdout).to.equal(`${formatTeacherReport(stored)}\n`);
    expect(code).to.equal(stored.warnings.length > 0 ? 1 : 0);
    expect(await runCommandLine(['doctor', '--run', join(output, 'nowhere')], streams as any)).to.equal(1);
    expect(written.stderr).to.contain('run specialize with --until lists first.');
  });

  describe('by the command line', () => {
    let given: SpecializeOptions;

    /** Runs `specialize --until lists` by scores that `scoreOf` makes of a query's source and a passage. */
    async function specializeBy(scoreOf: (isSource: boolean, place: number) => number) {
      const sources = new Map(
        lines(join(given.output, 'queries.jsonl')).map((line) => [JSON.parse(line).id, JSON.parse(line).passage]),
      );
      const scored = lines(join(given.output, 'candidates', 'fused.trec')).map((line, place) => {
        const [query, , passage] = line.split(' ');
        return { query, passage, score: scoreOf(sources.get(query!) === passage, place) };
      });
      const home = temporaryDirectory();
      const [scores, config] = [join(home, 'scores.jsonl'), join(home, 'config.json')];
      writeFileSync(scores, jsonl(scored));
      writeFileSync(config, JSON.stringify({ ...given, teacher: scores, until: 'lists' }));
      return run('specialize', '--config', config, '--yes');
    }

    before(async () => {
      given = tinyRun({ collection: writeCollection(), model: writeTinyModel(), until: 'candidates' });
      await specialize(given);
    });

    it('shows the table before anything is trained', async () => {
      const { code, stderr } = await specializeBy((isSource, place) => (isSource ? 2 : (place % 11) / 11));
      expect(code, stderr).to.equal(0);
      const stored: TeacherReport = JSON.parse(readFileSync(join(given.output, 'teacher-doctor.json'), 'utf8'));
      expect(stored.types.web).to.include({ positiveFirst: 1 });
      expect(stderr).to.contain(`\n${formatTeacherReport(stored)}\n`);
    });

    it('shows and stores it where all scores are the same, and says in the error that this is why', async () => {
      const { code, stderr } = await specializeBy(() => 0.5);
      expect(code).to.equal(1);
      const stored: TeacherReport = JSON.parse(readFileSync(join(given.output, 'teacher-doctor.json'), 'utf8'));
      expect(stderr).to.contain(`\n${formatTeacherReport({ ...stored, warnings: [] })}\n`);
      const [problem, remedy] = [
        /web: The teacher gave the candidates of \d+ queries the same score, 0\.5, so none of them has a list; /,
        'check what the teacher answers; take another for these queries.',
      ];
      const error = lines(stderr.trimEnd(), true).at(-1)!;
      expect(error).to.match(/No query is left to train on: 120 were dropped/);
      expect(error).to.match(problem).and.to.contain(remedy);
      expect(error).to.not.contain('min-candidates');
      const shown = await run('doctor', '--run', given.output);
      expect(shown.stdout).to.equal(`${formatTeacherReport(stored)}\n`);
      expect(shown.code).to.equal(1);
    });

    it('says in the error where the source never comes first', async () => {
      const { code, stderr } = await specializeBy((isSource, place) => (isSource ? -1 : (place % 11) / 11));
      expect(code).to.equal(1);
      const stored: TeacherReport = JSON.parse(readFileSync(join(given.output, 'teacher-doctor.json'), 'utf8'));
      expect(stored.types.title).to.include({ positiveFirst: 0, lists: 0 });
      const error = lines(stderr.trimEnd(), true).at(-1)!;
      expect(error).to.contain(
        'title: The teacher puts the positive first for only 0 % of the queries; see dropped.jsonl',
      );
      expect(error).to.not.contain('min-candidates');
    });
  });
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { settleTeacher } from '../lib/teachers/choice.js';
import { ScoreJournal } from '../lib/teachers/journal.js';
import { openTeacher, type StandaloneChoice } from '../lib/teachers/open.js';
import { journalScores, scoreMissing } from '../lib/teachers/scoring.js';
import type { Teacher, TeacherRequest, TeacherScores } from '../lib/teachers/teacher.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';
import { type FaultyServer, type FaultyServerOptions, startFaultyServer } from './servers/faulty.js';
import { requestsOf, rerankReply, scoreOf } from './servers/rerankers.js';

/** A teacher that notes what it is asked. */
class Recorder implements Teacher {
  readonly name = 'recorder';
  readonly asked: string[] = [];

  async *score(requests: AsyncIterable<TeacherRequest>): AsyncGenerator<TeacherScores> {
    for await (const { query, passages } of requests) {
      for (const { id, text } of passages) {
        this.asked.push(`${query.id} ${id}`);
        if (text === 'no score') yield { query: query.id, passages: [], unscored: [id], tokens: 3 };
        else yield { query: query.id, passages: [{ id, score: scoreOf(query.text, text) }], tokens: 7 };
      }
    }
  }
}

const newFile = () => join(temporaryDirectory(), 'teacher', 'scores.jsonl');

/** Scores the requests and gives what was asked for it, and the scores. */
async function run(file: string, requests: TeacherRequest[], name = 'recorder') {
  const teacher = new Recorder();
  const journal = await ScoreJournal.open(file, name);
  try {
    await scoreMissing(teacher, () => requests, { journal, total: requests.length });
    return { asked: teacher.asked, scores: await all(journal, requests), spent: journal.spent };
  } finally {
    await journal.close();
  }
}

async function all(journal: ScoreJournal, requests: TeacherRequest[]): Promise<TeacherScores[]> {
  const found: TeacherScores[] = [];
  for await (const scores of journalScores(journal, () => requests)) found.push(scores);
  return found;
}

const expected = (requests: TeacherRequest[]): TeacherScores[] =>
  requests.map(({ query, passages }) => ({
    query: query.id,
    passages: passages.map(({ id, text }) => ({ id, score: scoreOf(query.text, text) })),
  }));

describe('ScoreJournal', () => {
  it('asks for nothing twice, and gives scores in the order of the requests', async () => {
    const file = newFile();
    const first = await run(file, requestsOf(3, 4));
    expect(first.asked.length).to.equal(12);
    expect(first.scores).to.deep.equal(expected(requestsOf(3, 4)));
    // More queries, more passages, another order.
    const more = requestsOf(4, 5).reverse();
    const second = await run(file, more);
    expect(second.asked.sort()).to.deep.equal(
      [...['q3 p0', 'q3 p1', 'q3 p2', 'q3 p3', 'q3 p4'], 'q0 p4', 'q1 p4', 'q2 p4'].sort(),
    );
    expect(second.scores).to.deep.equal(expected(more));
    expect(second.spent).to.deep.equal({ requests: 20, pairs: 20, tokens: 140 });
    expect((await run(file, more)).asked).to.deep.equal([]);
  });

  it('asks again where the text of a query or passage is another', async () => {
    const file = newFile();
    await run(file, requestsOf(2, 3));
    const changed = requestsOf(2, 3);
    changed[0]!.query = { id: 'q0', text: 'another' };
    changed[1]!.passages = changed[1]!.passages.map(({ id, text }) => ({ id, text: id === 'p1' ? 'new' : text }));
    const { asked, scores } = await run(file, changed);
    expect(asked).to.deep.equal(['q0 p0', 'q0 p1', 'q0 p2', 'q1 p1']);
    expect(scores).to.deep.equal(expected(changed));
  });

  it('does not ask again for what the teacher could not score', async () => {
    const file = newFile();
    const [request] = requestsOf(1, 3);
    const requests = [{ ...request!, passages: [...request!.passages, { id: 'p9', text: 'no score' }] }];
    const { asked, scores } = await run(file, requests);
    expect(asked.length).to.equal(4);
    expect(scores[0]!.passages.map(({ id }) => id)).to.deep.equal(['p0', 'p1', 'p2']);
    expect((await run(file, requests)).asked).to.deep.equal([]);
  });

  it('cuts off a line that was not finished, even within a character', async () => {
    const file = newFile();
    await run(file, requestsOf(2, 2));
    const whole = readFileSync(file);
    appendFileSync(file, Buffer.from('{"query":"q7","digest":"é', 'utf8').subarray(0, -1));
    expect((await run(file, requestsOf(2, 2))).asked).to.deep.equal([]);
    expect(readFileSync(file).equals(whole)).to.equal(true);
    // The header itself.
    writeFileSync(file, '{"teac');
    expect((await run(file, requestsOf(1, 1))).asked).to.deep.equal(['q0 p0']);
  });

  it('refuses the file of another teacher, and lines that are not as they were written', async () => {
    const file = newFile();
    await run(file, requestsOf(1, 1));
    expect((await rejection(run(file, requestsOf(1, 1), 'other'))).message).to.equal(
      `${file}:1 (field "teacher"): Expected the scores of teacher "other" but they are of "recorder"; move the file away.`,
    );
    appendFileSync(file, 'garbage\n');
    expect((await rejection(run(file, requestsOf(1, 1)))).message).to.equal(
      `${file}:3: Expected a line as listwise wrote it, a JSON object; move the file away to begin anew.`,
    );
  });
});

describe('scoreMissing', () => {
  const servers: FaultyServer[] = [];
  const start = async (options: Partial<FaultyServerOptions>) => {
    const server = await startFaultyServer({ answer: rerankReply, ...options });
    servers.push(server);
    return server;
  };
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  /** How often each pair was answered by the server. */
  const answered = (server: FaultyServer) => {
    const pairs = new Map<string, number>();
    for (const { body, fault } of server.requests) {
      if (fault) continue;
      for (const text of body.texts) pairs.set(text, (pairs.get(text) ?? 0) + 1);
    }
    return pairs;
  };

  it('goes on after kills at any moment without asking twice for what it had', async function () {
    this.timeout(60_000);
    const server = await start({ delay: 15 });
    const file = newFile();
    const program = join(import.meta.dirname, 'programs', 'score.ts');
    const begin = () =>
      spawn(process.execPath, ['--import=tsx', program, server.url, file, '40', '10'], { stdio: 'inherit' });
    const requests = requestsOf(40, 10);
    let lost = 0;
    for (const at of [11, 31, 52]) {
      const child = begin();
      const exited = once(child, 'exit');
      while (server.requests.length < at && child.exitCode === null) await new Promise((next) => setTimeout(next, 3));
      child.kill('SIGKILL');
      await exited;
      lost += 8;
    }
    const [code] = await once(begin(), 'exit');
    expect(code).to.equal(0);
    const pairs = answered(server);
    expect(pairs.size).to.equal(400);
    // What was under way at a kill, twice the concurrency at most, is not known to be answered.
    const repeated = [...pairs.values()].reduce((sum, times) => sum + times - 1, 0);
    expect(repeated).to.be.at.most(5 * lost);
    expect(server.requests.length).to.be.at.most(80 + lost);
    const journal = await ScoreJournal.open(file, 'test');
    expect(await all(journal, requests)).to.deep.equal(expected(requests));
    await journal.close();
  });

  it('gives the same scores in the same order whatever the concurrency and the faults', async () => {
    const requests = requestsOf(30, 10);
    const runs: string[] = [];
    for (const { concurrency, share } of [
      { concurrency: 1, share: 0 },
      { concurrency: 16, share: 0.3 },
    ]) {
      const server = await start({ share, delay: share ? 3 : 0 });
      const choice = { kind: 'tei', url: server.url, batchSize: 4, concurrency, timeout: 2, backoff: 0.005 };
      const teacher = await openTeacher(settleTeacher(choice) as StandaloneChoice);
      const journal = await ScoreJournal.open(newFile(), 'test');
      const progress: number[] = [];
      await scoreMissing(teacher, () => requests, {
        ...{ journal, total: 300 },
        onProgress: ({ done }) => progress.push(done),
      });
      expect(progress.at(-1)).to.equal(300);
      expect([...answered(server).values()].every((times) => times === 1)).to.equal(true);
      runs.push(JSON.stringify(await all(journal, requests)));
      await journal.close();
    }
    expect(runs[0]).to.equal(runs[1]);
  });
});

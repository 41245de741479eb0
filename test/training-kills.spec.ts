import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { Random } from '../lib/random.js';
import type { TrainingOptions } from '../lib/training/options.js';
import { trainListwise } from '../lib/training/train.js';
import { temporaryDirectory } from './helpers.js';
import { jsonl } from './tiny-run.js';
import { TrainingProcess } from './training-process.js';
import { newOutput, quick, resultOf, task } from './training-runs.js';

/**
 * Trains in processes that are killed at random moments, so many times, until one gets to the end.
 * @returns the output, and the steps after which a process went on
 */
async function trainThroughKills(
  options: Omit<TrainingOptions, 'output' | 'lists'>,
  kills: number,
): Promise<{ output: string; resumedAt: Set<number> }> {
  const output = newOutput();
  const random = Random.for(1, 'kills');
  const resumedAt = new Set<number>();
  let killed = 0;
  let next = new TrainingProcess({ ...options, output });
  for (;;) {
    // The next one loads its modules meanwhile.
    const current = next;
    await current.said(0);
    next = new TrainingProcess({ ...options, output });
    current.go();
    // Most kills hit steps, evaluations and checkpoints; every fifth may hit what comes before.
    if (killed % 5 > 0) await current.stepped(1 + random.integer(10));
    await Promise.race([current.ended, sleep(random.integer(killed % 5 > 0 ? 15 : 300))]);
    if (killed < kills) current.kill();
    const { code, signal } = await current.ended;
    for (const event of current.events) if (event.kind === 'resumed') resumedAt.add(event.step);
    if (signal === 'SIGKILL') killed += 1;
    else {
      expect(code, current.errors).to.equal(0);
      break;
    }
  }
  next.kill();
  expect(killed).to.equal(kills);
  return { output, resumedAt };
}

/** The lists on dev as queries that people judged, each with its best passage. */
function humanQueries(): string {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, 'qrels'));
  writeFileSync(join(directory, 'corpus.jsonl'), jsonl([...task.corpus].map(([_id, text]) => ({ _id, text }))));
  writeFileSync(join(directory, 'queries.jsonl'), jsonl(task.dev.map(({ id, query }) => ({ _id: id, text: query }))));
  const judged = task.dev.map(({ id, passages }) => `${id}\t${passages[0]!.id}\t1\n`).join('');
  writeFileSync(join(directory, 'qrels', 'dev.tsv'), `query-id\tcorpus-id\tscore\n${judged}`);
  return directory;
}

describe('a training run that is killed', function () {
  this.timeout(240_000);

  it('goes on from its last checkpoint, and ends with the same bits after 20 kills at random moments', async () => {
    const options = { ...quick, epochs: 50 };
    const whole = newOutput();
    await trainListwise({ ...options, ...task, output: whole });
    const { output, resumedAt } = await trainThroughKills(options, 20);
    expect(resumedAt, 'different checkpoints it went on from').to.have.property('size').above(5);
    expect(resultOf(output)).to.deep.equal(resultOf(whole));
  });

  it('does so over several sets in clustered batches, where queries of people choose the weights', async () => {
    const { corpus, lists, dev } = task;
    const sets = [
      { name: 'a', lists: lists.slice(0, 24), dev: dev.slice(0, 6) },
      { name: 'b', lists: lists.slice(24), dev: dev.slice(6) },
    ];
    const people = { devData: humanQueries(), devQueries: 8, devDistractors: 20, chooseBy: 'nDCG@10' } as const;
    const options = { ...quick, ...people, batching: 'clustered', batchSize: 4, epochs: 6 } as const;
    const whole = newOutput();
    await trainListwise({ ...options, corpus, lists: sets, output: whole });
    const { output, resumedAt } = await trainThroughKills({ ...options, sets } as typeof options, 4);
    expect(resumedAt, 'different checkpoints it went on from').to.have.property('size').above(1);
    const expected = resultOf(whole);
    const steps = expected.log.filter((record: any) => record.kind === 'step') as { set: string }[];
    expect(new Set(steps.map(({ set }) => set))).to.deep.equal(new Set(['a', 'b']));
    expect(resultOf(output)).to.deep.equal(expected);
  });
});

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Bm25Index } from '../lib/candidates/bm25.js';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { evaluateRun } from '../lib/evaluation/measures.js';
import { readJudgedQueries } from '../lib/formats/beir.js';
import { readQrelsFile, writeTrecQrels } from '../lib/formats/qrels.js';
import { readTrecRun, writeTrecRun } from '../lib/formats/trec.js';
import type { Qrels, Run } from '../lib/types.js';
import { skipWithoutPython } from './environment.js';
import { temporaryDirectory } from './helpers.js';

const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';

const MEASURES = [
  ...['nDCG', 'nDCG@10', 'R@100', 'R(rel=2)@10', 'RR', 'RR@10', 'AP', 'AP@100', 'P@5', 'Success@5', 'Rprec'],
  ...['Judged@10', 'nDCG(judged_only=True)@10', 'AP(judged_only=True)'],
];

/** Reads our files, writes what it read again, and the value of each measure and query. */
const PROGRAM = `
import json, sys
import ir_measures
directory, *names = sys.argv[1:]
qrels = list(ir_measures.read_trec_qrels(directory + "/ours.qrels"))
run = list(ir_measures.read_trec_run(directory + "/ours.trec"))
with open(directory + "/theirs.qrels", "w", encoding="utf8") as file:
    for qrel in qrels: file.write(f"{qrel.query_id} 0 {qrel.doc_id} {qrel.relevance}\\n")
with open(directory + "/theirs.trec", "w", encoding="utf8") as file:
    for i, found in enumerate(run): file.write(f"{found.query_id} Q0 {found.doc_id} {i} {found.score!r} theirs\\n")
measures = {name: ir_measures.parse_measure(name) for name in names}
values = {name: {} for name in names}
for name, measure in measures.items():
    for metric in ir_measures.iter_calc([measure], qrels, run): values[name][metric.query_id] = metric.value
means = {name: ir_measures.calc_aggregate([measure], qrels, run)[measure] for name, measure in measures.items()}
def provider(measure):
    return next(one.NAME for one in ir_measures.DefaultPipeline.providers if one.is_available() and one.supports(measure))
providers = {name: provider(measure) for name, measure in measures.items()}
json.dump({"values": values, "means": means, "providers": providers}, open(directory + "/theirs.json", "w"))
`;

interface Judged {
  qrels: Qrels;
  run: Run;
}

/** A run by BM25 over a collection in BEIR's layout. @param most how many of its queries */
async function searched(collection: string, depth: number, most = Number.POSITIVE_INFINITY): Promise<Judged> {
  const { queries, qrels } = await readJudgedQueries(collection);
  const some = queries.slice(0, most);
  const index = await Bm25Index.build(await loadCorpus(collection));
  const kept = some.map(({ id }) => [id, qrels.get(id)!] as const);
  return { qrels: new Map(kept), run: await index.search(some, depth) };
}

async function compareWithPython({ qrels, run }: Judged): Promise<void> {
  // The judgements know one grade only; more of them tell more.
  for (const grades of qrels.values()) {
    for (const [i, passage] of [...grades.keys()].entries()) if (i % 3 === 0) grades.set(passage, 2 + (i % 2));
  }
  // A query that the run lacks counts as 0.
  run.delete([...qrels.keys()][0]!);
  const directory = temporaryDirectory();
  await writeTrecRun(join(directory, 'ours.trec'), run);
  await writeTrecQrels(join(directory, 'ours.qrels'), qrels);
  const { status, stderr } = spawnSync(python, ['-c', PROGRAM, directory, ...MEASURES], { encoding: 'utf8' });
  expect(status, stderr).to.equal(0);
  const theirs = JSON.parse(readFileSync(join(directory, 'theirs.json'), 'utf8'));
  await expectSameValues({ qrels, run }, theirs);
  expect(await readTrecRun(join(directory, 'theirs.trec'))).to.deep.equal(run);
  expect(await readQrelsFile(join(directory, 'theirs.qrels'))).to.deep.equal(qrels);
}

interface Theirs {
  /** What of ir_measures computed each measure. */
  providers: Record<string, string>;
  values: Record<string, Record<string, number>>;
  means: Record<string, number>;
}

async function expectSameValues({ qrels, run }: Judged, theirs: Theirs): Promise<void> {
  const byTrecEval = MEASURES.filter((name) => theirs.providers[name] === 'pytrec_eval');
  expect(MEASURES.filter((name) => !byTrecEval.includes(name))).to.deep.equal(['RR@10', 'Judged@10']);
  const { perQuery, mean } = await evaluateRun(qrels, run, MEASURES);
  for (const name of MEASURES) {
    const values = theirs.values[name]!;
    expect(Object.keys(values).length, name).to.be.above(50);
    expect(new Set(Object.values(values)).size, `different values of ${name}`).to.be.above(1);
    for (const [query, value] of Object.entries(values)) {
      expect(perQuery[name]!.get(query), `${name} of ${query}`).to.be.closeTo(value, 1e-9);
    }
    expect(mean[name], name).to.be.closeTo(theirs.means[name]!, 1e-9);
  }
}

const at = (...path: string[]) => join(import.meta.dirname, ...path);

const COLLECTIONS: Record<string, () => Promise<Judged>> = {
  Cranfield: () => searched(at('..', 'examples', 'cranfield'), 400),
  SciFact: () => searched(at('fixtures', 'scifact'), 150, 100),
  NPL: async () => ({
    qrels: await readQrelsFile(at('fixtures', 'npl', 'test.qrels')),
    run: await readTrecRun(at('fixtures', 'npl', 'bm25.trec')),
  }),
};

describe("ir_measures, which has trec_eval's code in pytrec_eval", function () {
  this.timeout(120_000);

  for (const [name, judged] of Object.entries(COLLECTIONS)) {
    it(`reads our run and judgements of ${name} and computes the same; we read its`, async function () {
      skipWithoutPython(this);
      await compareWithPython(await judged());
    });
  }
});

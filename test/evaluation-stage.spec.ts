import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { evaluate } from '../lib/evaluation/evaluate.js';
import { readBeir } from '../lib/formats/beir.js';
import { readLists } from '../lib/lists/file.js';
import type { SpecializeOptions } from '../lib/specialize/options.js';
import { specialize } from '../lib/specialize/specialize.js';
import type { StageEvent } from '../lib/specialize/stage-runner.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { jsonl, PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

describe('the evaluation of specialize', function () {
  this.timeout(60_000);
  let collection: string;
  let model: string;

  before(() => {
    collection = writeCollection();
    model = writeTinyModel();
  });

  /** Some passages of the collection, in another order, compressed, with its queries. */
  async function writePart(): Promise<string> {
    const { corpus } = await readBeir(collection);
    const directory = temporaryDirectory();
    const judged = new Set(['p7', 'p21', 'p33', 'p45', 'p59']);
    const part = corpus.filter(({ id }, i) => judged.has(id) || i % 3 > 0).reverse();
    const records = jsonl(part.map(({ id, title, text }) => ({ _id: id, title, text })));
    writeFileSync(join(directory, 'corpus.jsonl.gz'), gzipSync(records));
    writeFileSync(join(directory, 'queries.jsonl.gz'), gzipSync(readFileSync(join(collection, 'queries.jsonl'))));
    mkdirSync(join(directory, 'qrels'));
    writeFileSync(join(directory, 'qrels', 'test.tsv'), readFileSync(join(collection, 'qrels', 'test.tsv')));
    return directory;
  }

  const options = (more: Partial<SpecializeOptions> = {}) => tinyRun({ collection, model, ...more });

  /** Runs, and counts the passages that were encoded for the evaluation. */
  async function evaluated(given: SpecializeOptions) {
    let [stage, encoded] = ['', 0];
    const result = await specialize({
      ...given,
      onStage: (event) => {
        stage = event.stage;
      },
      onProgress: ({ unit, stage: doing, done, total }) => {
        if (stage === 'evaluation' && doing === 'encoding' && unit === 'passages' && done === total) encoded += total;
      },
    });
    return { encoded, means: result.evaluation!.comparison.sets[0]!.means };
  }

  it("measures both models as a fresh evaluation does, the base by the run's embeddings where the texts are the same", async () => {
    const part = await writePart();
    const given = options({ data: part, by: 'metadata.kind' });
    const { means, encoded } = await evaluated(given);
    const base = await evaluate({ model, data: part });
    expect(base.measures['nDCG@10']).to.be.above(0);
    expect(means.base).to.deep.equal(base.measures);
    const trained = await evaluate({ model: join(given.output, 'training', 'model'), data: part });
    expect(means.trained).to.deep.equal(trained.measures);
    expect(base.passages).to.be.below(PASSAGES);
    // Those of the trained model.
    expect(encoded).to.equal(base.passages);
  });

  it('encodes the passages for the base too where they are not those of the corpus', async () => {
    const data = writeCollection({ seed: 9 });
    const { means, encoded } = await evaluated(options({ data }));
    expect(means.base).to.deep.equal((await evaluate({ model, data })).measures);
    expect(encoded).to.equal(2 * PASSAGES);
  });

  it("takes each dev list's source for the one relevant passage, and searches what may be found", async () => {
    const given = options({ exclude: ['p3', 'p4'] });
    const { means } = await evaluated(given);
    const { corpus } = await readBeir(collection);
    const ids = new Set(corpus.map(({ id }) => id));
    const lists = await readLists(join(given.output, 'lists.dev.jsonl'), { corpus: ids });
    const data = {
      corpus: corpus.filter(({ id }) => id !== 'p3' && id !== 'p4'),
      queries: lists.map(({ id, query }) => ({ id, text: query })),
      qrels: new Map(lists.map(({ id, source }) => [id, new Map([[source!, 1]])])),
    };
    expect(means.base).to.deep.equal((await evaluate({ model, data })).measures);
  });

  it('notices a test set or guard set that changes while the run is under way', async () => {
    for (const [stage, name] of [
      ['evaluation', 'test set'],
      ['promotion', 'guard set'],
    ] as const) {
      const [data, guard] = [writeCollection(), writeCollection()];
      const changed = name === 'test set' ? data : guard;
      const onStage = (event: StageEvent) => {
        if (event.stage !== stage || event.status !== 'started') return;
        appendFileSync(join(changed, 'corpus.jsonl'), jsonl([{ _id: 'new', text: 'another' }]));
      };
      const error = await rejection(specialize(options({ data, guards: [guard], onStage })));
      expect(error.code).to.equal('BAD_DATA');
      const shown = name === 'test set' ? name : `guard set ${guard}`;
      expect(error.message).to.equal(
        `${changed}: The ${shown} changed after the run had started and before stage ${stage} was done with it; ` +
          'start the run again to use what is there now.',
      );
    }
  });
});

import { writeJsonl } from '../formats/jsonl.js';
import type { Json } from '../hashes.js';
import { buildLists } from '../lists/build.js';
import { writeLists } from '../lists/file.js';
import { readTeacherScores } from '../teachers/scores.js';
import { nothingToTrainOn, readDropped } from './dropped.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import type { Workbench } from './workbench.js';

/** Training lists from the teacher's scores, and every query that got none with the reason: dropped.jsonl. */
export async function listsStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { listLength, lowPercentile, keepPercentile, highPercentile, devShare, seed, signal } = options;
  const { nearDuplicateThreshold } = options;
  const choices = { listLength, lowPercentile, keepPercentile, highPercentile, nearDuplicateThreshold, devShare, seed };
  const textOf = (id: string) => bench.corpus.get(id)!.text;
  return {
    name: 'lists',
    options: choices,
    inputs: {},
    outputs: [FILES.train, FILES.dev, FILES.dropped],
    work: async () => {
      const scores = readTeacherScores(directory.file('scores'), { signal });
      const built = await buildLists(await bench.queries(), scores, { ...choices, textOf, signal });
      const earlier = [directory.file('queriesDropped'), directory.file('candidatesDropped')];
      const dropped = [...(await Promise.all(earlier.map(readDropped))).flat(), ...built.dropped];
      await writeJsonl(directory.file('dropped'), dropped, { signal });
      await writeLists(directory.file('train'), built.train, { signal });
      await writeLists(directory.file('dev'), built.dev, { signal });
      if (built.train.length === 0) throw nothingToTrainOn(directory.file('dropped'), dropped);
      const byType = Object.fromEntries(Object.entries(built.counts).map(([type, count]) => [type, { ...count }]));
      return { train: built.train.length, dev: built.dev.length, dropped: built.dropped.length, byType } as Json;
    },
  };
}

import type { CrossEncoderModel } from '../models/cross-encoder.js';
import { makeBatch } from './batches.js';
import type { Labelling } from './labels.js';
import type { Objective } from './objective.js';

/** Learning labels of pairs: each query is read together with each passage of its list. */
export function pairObjective(model: CrossEncoderModel, { labels, loss }: Labelling): Objective {
  const { pooling } = model.directory.head;
  return {
    make: async (set, lists, signal) => {
      const batch = await makeBatch(set, lists, signal);
      return { ...batch, pairs: await model.pairs.join(batch, signal) };
    },
    argsOf: ({ pairs, teacher, listLength }) => ({ pairs: pairs!, labels: teacher, listLength, pooling, loss }),
    facts: { loss, labels },
    found: {},
    remedy: 'a lower learningRate',
  };
}

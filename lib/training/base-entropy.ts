import { breather } from '../event-loop.js';
import type { EmbeddingModel } from '../models/model.js';
import { gatherTexts, textCount } from '../models/packed-texts.js';
import { mostTokens } from '../models/token-budget.js';
import { type PackedTexts, runJob } from '../native.js';
import type { LongWork } from '../types.js';
import { type Batch, makeBatch } from './batches.js';
import {
  type ListScores,
  matchTemperature,
  meanEntropy,
  type TemperatureMatch,
  temperatureSample,
} from './temperature.js';
import type { TrainingData, TrainingSet } from './training-set.js';

export interface MatchOptions extends LongWork {
  studentTemperature: number;
  /** Most lists to look at; a seeded sample where the set has more. */
  lists: number;
  seed: number;
  /** Most tokens of a micro-batch. Default: what the device likes. */
  tokenBudget?: number;
}

/** Texts in one native call, so that progress and an abort are prompt. */
const CALL_TEXTS = 128;

/**
 * Chooses the teacher's temperature for a model: the teacher's distributions over the training lists become, on
 * average, as sharp as those that the model itself gives at the student's temperature.
 */
export async function matchTeacher(
  model: EmbeddingModel,
  data: TrainingData,
  options: MatchOptions,
): Promise<TemperatureMatch> {
  const { studentTemperature, lists, seed, signal, onProgress } = options;
  const student: ListScores[] = [];
  const teacher: ListScores[] = [];
  for (const [set, sample] of sampleLists(data, lists, seed)) {
    const batch = await makeBatch(set, sample, signal);
    const { listLength } = batch;
    student.push({ scores: await scoreLists(model, batch, options), listLength });
    teacher.push({ scores: batch.teacher, listLength });
    signal?.throwIfAborted();
  }
  const match = await matchTemperature(teacher, await meanEntropy(student, studentTemperature, signal), signal);
  const note = `teacher temperature ${match.temperature.toPrecision(4)}`;
  onProgress?.({ stage: 'temperature', done: match.lists, total: match.lists, unit: 'lists', note });
  return match;
}

/** At most so many lists, drawn from those of all sets together; sets of which none was drawn are left out. */
function sampleLists({ sets }: TrainingData, lists: number, seed: number): [TrainingSet, Int32Array][] {
  const total = sets.reduce((sum, { train }) => sum + train.size, 0);
  const sample = temperatureSample(total, lists, seed);
  let start = 0;
  return sets.flatMap(({ train }): [TrainingSet, Int32Array][] => {
    const own = sample.filter((place) => place >= start && place < start + train.size).map((place) => place - start);
    start += train.size;
    return own.length > 0 ? [[train, own]] : [];
  });
}

/** Inner products of each query with its passages, both of unit length. */
async function scoreLists(model: EmbeddingModel, batch: Batch, options: MatchOptions): Promise<Float64Array> {
  const total = textCount(batch.queries) + textCount(batch.passages);
  const report = (done: number) => options.onProgress?.({ stage: 'temperature', done, total, unit: 'texts' });
  const queries = await encode(model, batch.queries, { ...options, report });
  const passages = await encode(model, batch.passages, {
    ...options,
    report: (done) => report(textCount(batch.queries) + done),
  });
  const { dimension } = model.encoder;
  const scores = new Float64Array(batch.rows.length);
  const breathe = breather(options.signal);
  for (let i = 0; i < scores.length; i++) {
    const query = Math.floor(i / batch.listLength) * dimension;
    const passage = batch.rows[i]! * dimension;
    let sum = 0;
    for (let k = 0; k < dimension; k++) sum += queries[query + k]! * passages[passage + k]!;
    scores[i] = sum;
    if (i % 64 === 63) await breathe();
  }
  return scores;
}

async function encode(
  model: EmbeddingModel,
  texts: PackedTexts,
  options: MatchOptions & { report: (done: number) => void },
): Promise<Float32Array> {
  const { pooling } = model.settings;
  const { dimension } = model.encoder;
  const { tokenBudget = mostTokens(model.encoder.device), signal, report } = options;
  const embeddings = new Float32Array(textCount(texts) * dimension);
  for (let start = 0; start < textCount(texts); start += CALL_TEXTS) {
    const rows = Array.from({ length: Math.min(CALL_TEXTS, textCount(texts) - start) }, (_, i) => start + i);
    const args = { ...gatherTexts(texts, rows), pooling, normalize: true, tokenBudget };
    embeddings.set(await runJob(() => model.encoder.encode(args), signal), start * dimension);
    report(start + rows.length);
  }
  return embeddings;
}

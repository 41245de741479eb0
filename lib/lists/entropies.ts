import { breather } from '../event-loop.js';
import {
  listEntropy,
  matchTemperature,
  meanEntropy,
  type TemperatureMatch,
  temperatureSample,
} from '../training/temperature.js';
import type { LongWork, TrainingList } from '../types.js';
import type { EntropyReport } from './teacher-report.js';

/** The base model's similarities of a list's query with its passages, in their order. */
export type StudentScores = (list: TrainingList) => ArrayLike<number>;

export interface EntropyOptions extends Pick<LongWork, 'signal'> {
  teacherTemperature: number | 'match';
  studentTemperature: number;
  /** Most lists to look at; a seeded sample where there are more. */
  temperatureLists: number;
  seed: number;
}

export interface Entropies {
  teacherTemperature: number;
  match: TemperatureMatch;
  byType: Map<string, EntropyReport>;
}

/** Share of the highest entropy, ln(length), from which a list says nothing; one minus it, below which it says one thing. */
const FLAT = 0.98;

/**
 * How sharp the teacher's and the student's distributions over the lists are, and what `match` chooses: by the same
 * lists and the same sample as training.
 * @param lists at least one, all of one length
 */
export async function measureEntropies(
  lists: readonly TrainingList[],
  student: StudentScores,
  { teacherTemperature: wanted, studentTemperature, temperatureLists, seed, signal }: EntropyOptions,
): Promise<Entropies> {
  const sample = Array.from(temperatureSample(lists.length, temperatureLists, seed), (place) => lists[place]!);
  const listLength = sample[0]!.passages.length;
  const scores = {
    teacher: new Float64Array(sample.length * listLength),
    student: new Float64Array(sample.length * listLength),
  };
  const breathe = breather(signal);
  for (const [i, list] of sample.entries()) {
    scores.teacher.set(
      list.passages.map(({ score }) => score),
      i * listLength,
    );
    scores.student.set(student(list), i * listLength);
    await breathe();
  }
  const teacherLists = { scores: scores.teacher, listLength };
  const studentEntropy = await meanEntropy({ scores: scores.student, listLength }, studentTemperature, signal);
  const match = await matchTemperature(teacherLists, studentEntropy, signal);
  const teacherTemperature = wanted === 'match' ? match.temperature : wanted;
  const sums = new Map<string, EntropyReport>();
  for (const [i, { type = 'untyped' }] of sample.entries()) {
    const sum = sums.get(type) ?? { lists: 0, teacher: 0, student: 0, flat: 0, peaked: 0 };
    sums.set(type, sum);
    const place = { start: i * listLength, length: listLength };
    const entropy = listEntropy(scores.teacher, place, teacherTemperature);
    sum.lists += 1;
    sum.teacher += entropy;
    sum.student += listEntropy(scores.student, place, studentTemperature);
    if (entropy >= FLAT * Math.log(listLength)) sum.flat += 1;
    if (entropy <= (1 - FLAT) * Math.log(listLength)) sum.peaked += 1;
    await breathe();
  }
  return { teacherTemperature, match, byType: new Map(Array.from(sums, ([type, sum]) => [type, meanOf(sum)])) };
}

function meanOf({ lists, ...sums }: EntropyReport): EntropyReport {
  const mean = (sum: number) => sum / lists;
  const { teacher, student, flat, peaked } = sums;
  return { lists, teacher: mean(teacher), student: mean(student), flat: mean(flat), peaked: mean(peaked) };
}

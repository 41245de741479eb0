import { hashJson, type Json } from '../hashes.js';
import { versions } from '../versions.js';
import type { HumanDev } from './human-dev.js';
import { undecisiveOptions } from './options.js';
import type { SettledRunOptions } from './run-options.js';
import type { TrainingData } from './training-set.js';

/** Everything that decides what a run gives: two runs of equal inputs are the same run. */
export interface RunInputs {
  /** Version of listwise. */
  listwise: string;
  options: Record<string, Json | undefined>;
  /** SHA-256 of the base model's files, of the lists (queries, passages named, scores) and of the texts, as tokens. */
  hashes: Record<string, string>;
}

/** What a run starts from. */
export interface BaseModel {
  /** SHA-256 of its files. */
  modelHash: string;
  /** What of its settings decides a run, such as its prefixes. */
  settings: Record<string, Json | undefined>;
  human?: HumanDev;
}

/** What decides a run over this model and data. */
export async function describeInputs(
  { modelHash, settings, human }: BaseModel,
  { sets }: TrainingData,
  options: SettledRunOptions,
): Promise<RunInputs> {
  const decisive = Object.entries(options).filter(([name]) => !undecisiveOptions.includes(name));
  return {
    listwise: (await versions()).listwise!,
    options: {
      ...(Object.fromEntries(decisive) as Record<string, Json>),
      ...settings,
    },
    hashes: {
      ...{ model: modelHash, ...hashesOf(sets) },
      ...(human && { 'dev data': await human.hash(options.signal) }),
    },
  };
}

/** The hashes of each set's parts, by names that stand after "the" in a message. */
function hashesOf(sets: TrainingData['sets']): Record<string, string> {
  if (sets.length === 1) return sets[0]!.hashes;
  const named = sets.flatMap(({ name, hashes }) =>
    Object.entries(hashes).map(([part, hash]) => [`${part} of ${name}`, hash]),
  );
  return { ...Object.fromEntries(named), 'sets of lists': hashJson(sets.map(({ name }) => name)) };
}

/** What differs between the inputs of two runs, in words; undefined where nothing does. */
export function changesOf(before: RunInputs, now: RunInputs): string | undefined {
  const changes: string[] = [];
  for (const name of new Set([...Object.keys(before.options), ...Object.keys(now.options)])) {
    const [old, current] = [before.options[name], now.options[name]].map(shown);
    if (old !== current) changes.push(`${name} changed from ${old} to ${current}`);
  }
  for (const name of new Set([...Object.keys(before.hashes), ...Object.keys(now.hashes)])) {
    if (before.hashes[name] !== now.hashes[name]) changes.push(`the ${name} changed`);
  }
  if (before.listwise !== now.listwise)
    changes.push(`listwise ${before.listwise} made it, and this is ${now.listwise}`);
  return changes.length > 0 ? changes.join(', ') : undefined;
}

function shown(value: Json | undefined): string {
  return value === undefined ? 'the default' : JSON.stringify(value);
}

import type { Json } from '../hashes.js';
import type { StageRecord } from './manifest.js';

/** Why a stage that is recorded is not the one that is asked for, in words. */
export interface Changes {
  /** Its own options and inputs. */
  own: string[];
  /** Stages that it builds on. */
  needs: string[];
}

/** What is different between the record of a stage and the stage as it is now; one of version where nothing else is. */
export function changesOf(earlier: StageRecord, now: StageRecord): Changes {
  const own: string[] = [];
  for (const name of namesOf(earlier.options, now.options)) {
    const [before, after] = [earlier.options[name], now.options[name]].map(shown);
    if (before !== after) own.push(`${name} changed from ${before} to ${after}`);
  }
  for (const name of namesOf(earlier.inputs, now.inputs)) {
    if (earlier.inputs[name] !== now.inputs[name]) own.push(`the ${name} changed`);
  }
  const needs = [...namesOf(earlier.needs, now.needs)]
    .filter((name) => earlier.needs[name] !== now.needs[name])
    .map((name) => `stage ${name} was done again`);
  if (own.length + needs.length > 0) return { own, needs };
  return { own: [`listwise ${earlier.versions.listwise} made it, and this is ${now.versions.listwise}`], needs };
}

function namesOf(a: object, b: object): Set<string> {
  return new Set([...Object.keys(a), ...Object.keys(b)]);
}

function shown(value: Json | undefined): string {
  return value === undefined ? 'the default' : JSON.stringify(value);
}

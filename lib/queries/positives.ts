import type { Query } from '../types.js';

/** The ids of the passages that answer a query: those judged relevant, or its source. */
export function positivesOf({ relevant, source }: Query): readonly string[] {
  return relevant ?? (source === undefined ? [] : [source]);
}

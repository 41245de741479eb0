import { InvalidArgumentError, ListwiseError } from './errors.js';

/**
 * Refuses options that nothing would read, so that a misspelt one does not go unnoticed.
 * @param options what the caller gave
 * @param known the names that there are
 * @param where the function's name, for the message
 * @throws InvalidArgumentError if they are no object
 * @throws ListwiseError INVALID_ARGUMENT naming the unknown option and the known one that is nearest
 */
export function rejectUnknownOptions(options: object, known: readonly string[], where: string): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new InvalidArgumentError(`the options of ${where}`, 'an object', options);
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const nearest = nearestName(name, known);
    throw new ListwiseError(
      'INVALID_ARGUMENT',
      `${where} has no option "${name}"; ${nearest ? `did you mean "${nearest}"?` : `there are ${known.join(', ')}.`}`,
    );
  }
}

/** Options that nothing reads where another is not there. */
export interface OptionNeed<T> {
  options: readonly (keyof T & string)[];
  /** What has to be there, for the message: 'a test set (data)'. */
  needs: string;
  isThere: (options: T) => boolean;
}

/**
 * Refuses options that would be without effect, so that whoever gave them need not find out from the results.
 * @param given what the caller gave, without defaults
 * @throws InvalidArgumentError naming the first
 */
export function rejectIdleOptions<T extends object>(given: T, rules: readonly OptionNeed<T>[]): void {
  for (const { options, needs, isThere } of rules) {
    const idle = options.find((name) => given[name] !== undefined);
    if (idle === undefined || isThere(given)) continue;
    throw new InvalidArgumentError(idle, `${needs} beside it`, given[idle], 'without that nothing reads it');
  }
}

/** The name that differs by the fewest insertions, deletions and changes of a letter, if by few enough to be meant. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase();
  const allowed = Math.max(2, Math.floor(name.length / 3));
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(wanted, candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0] && ranked[0].distance <= allowed ? ranked[0].candidate : undefined;
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

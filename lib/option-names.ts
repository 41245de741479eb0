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

/**
 * Which sources must stay together because some list has several: the connected groups, each under the name of its
 * first source in the given order.
 * @param sources in the order that names the groups
 * @param together the sources of each list
 */
export function groupSources(sources: readonly string[], together: Iterable<readonly string[]>): Map<string, string> {
  const places = new Map(sources.map((source, place) => [source, place]));
  const parents = sources.map((_, place) => place);
  const root = (place: number): number => {
    let top = place;
    while (parents[top] !== top) top = parents[top]!;
    // Shorter ways for those who ask again.
    for (let at = place; at !== top; ) [at, parents[at]] = [parents[at]!, top];
    return top;
  };
  for (const [first, ...others] of together) {
    for (const other of others) {
      const [a, b] = [root(places.get(first!)!), root(places.get(other)!)];
      parents[Math.max(a, b)] = Math.min(a, b);
    }
  }
  return new Map(sources.map((source, place) => [source, sources[root(place)]!]));
}

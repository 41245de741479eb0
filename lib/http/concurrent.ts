/**
 * Works on items some at a time, and gives results as they come, in whatever order. Once a piece of work fails no
 * further item is begun; what is under way is waited for and given, so that nothing that was paid for is lost, and then
 * the first failure is thrown.
 * @param atOnce items under way at a time
 */
export async function* concurrently<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  work: (item: T) => Promise<R>,
  atOnce: number,
): AsyncGenerator<R> {
  const results: R[] = [];
  const failures: unknown[] = [];
  let running = 0;
  let wake = () => {};
  const begin = async (item: T) => {
    running += 1;
    try {
      results.push(await work(item));
    } catch (error) {
      failures.push(error);
    }
    running -= 1;
    wake();
  };
  const settled = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  try {
    for await (const item of items) {
      void begin(item);
      while (running >= atOnce && results.length === 0) await settled();
      while (results.length > 0) yield results.shift()!;
      if (failures.length > 0) break;
    }
  } catch (error) {
    failures.push(error);
  }
  while (running > 0 || results.length > 0) {
    while (results.length > 0) yield results.shift()!;
    if (running > 0) await settled();
  }
  if (failures.length > 0) throw failures[0];
}

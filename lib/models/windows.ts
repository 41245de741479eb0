/** Texts, or pairs of them, that are tokenised and sorted by length together. */
const WINDOW = 4096;

/** Some neighbours of a longer row of items, tokenised. */
export interface Window<Packed> {
  /** Place of the first. */
  start: number;
  /** How many they are. */
  size: number;
  packed: Packed;
}

/**
 * Tokenises items window by window, in order; while one window is worked on, the next is on its way. Should that one
 * fail, it shows when it is its turn.
 */
export async function* windowsOf<Item, Packed>(
  items: readonly Item[],
  pack: (some: readonly Item[]) => Promise<Packed>,
): AsyncGenerator<Window<Packed>> {
  const from = (start: number) => pack(items.slice(start, start + WINDOW));
  let ahead: Promise<Packed> | undefined;
  for (let start = 0; start < items.length; start += WINDOW) {
    const packed = await (ahead ?? from(start));
    const next = start + WINDOW;
    ahead = next < items.length ? from(next) : undefined;
    ahead?.catch(() => {});
    yield { start, size: Math.min(WINDOW, items.length - start), packed };
  }
}

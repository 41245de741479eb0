import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';

/** How many tokens each text has, without special tokens. */
export type CountTokens = (texts: readonly string[]) => Promise<ArrayLike<number>>;

export interface SplitOptions {
  /** Most tokens of a passage that is split off a text file, its title not counted. Default 200. */
  splitTokens?: number;
  /** Most tokens at a passage's beginning that repeat the end of the one before. Default 20. */
  splitOverlap?: number;
  /** Counts tokens as the model's tokenizer does; only text files need it. */
  countTokens?: CountTokens;
}

/** @throws InvalidArgumentError for sizes that cannot be */
export function settleSplitOptions({ splitTokens = 200, splitOverlap = 20, countTokens }: SplitOptions) {
  if (!Number.isInteger(splitTokens) || splitTokens < 1) {
    throw new InvalidArgumentError('splitTokens', 'a whole number above 0', splitTokens);
  }
  // An overlap that is a default gives way to a small size.
  const overlap = Math.min(splitOverlap, splitTokens - 1);
  if (!Number.isInteger(splitOverlap) || splitOverlap < 0 || (splitOverlap !== 20 && overlap !== splitOverlap)) {
    throw new InvalidArgumentError('splitOverlap', `a whole number from 0 to splitTokens - 1`, splitOverlap);
  }
  return { splitTokens, splitOverlap: overlap, countTokens };
}

/** A stretch of text that is not cut: a sentence, or part of one that is too long by itself. */
interface Unit {
  text: string;
  tokens: number;
  /** Number of its paragraph or other block. */
  block: number;
}

/** A passage of a text, and the number of the block it begins in. */
export interface Split {
  text: string;
  firstBlock: number;
}

const SENTENCES = new Intl.Segmenter(undefined, { granularity: 'sentence' });
const WORDS = new Intl.Segmenter(undefined, { granularity: 'word' });

/**
 * Splits consecutive blocks of text (paragraphs, list items, ...) into passages of at most `splitTokens` tokens: whole
 * sentences by Unicode's rules (UAX #29), a sentence that is too long by itself at words. A passage that is at least
 * half full ends before a block that does not fit into it but does fit into one of its own.
 * @param blocks with the white space that belongs behind them; together they are the text
 */
export async function splitBlocks(
  blocks: readonly string[],
  options: Required<SplitOptions>,
  signal?: AbortSignal,
): Promise<Split[]> {
  const { splitTokens, splitOverlap } = options;
  const units = await unitsOf(blocks, options, signal);
  const blockTokens = new Float64Array(blocks.length);
  for (const { block, tokens } of units) blockTokens[block]! += tokens;
  const splits: Split[] = [];
  for (let first = 0; first < units.length; ) {
    const end = endOf(units, first, { splitTokens, blockTokens });
    const text = units.slice(first, end).reduce((joined, unit) => joined + unit.text, '');
    const begin = units.slice(first, end).find((unit) => unit.text.trim() !== '');
    if (begin) splits.push({ text: text.trim(), firstBlock: begin.block });
    if (end === units.length) break;
    first = overlapStart(units, { first, end, splitOverlap, room: splitTokens - units[end]!.tokens });
  }
  return splits;
}

interface Filling {
  splitTokens: number;
  blockTokens: Float64Array;
}

/** Where a passage that begins with unit `first` ends. */
function endOf(units: readonly Unit[], first: number, { splitTokens, blockTokens }: Filling): number {
  let tokens = 0;
  let end = first;
  for (; end < units.length; end++) {
    const { tokens: own, block } = units[end]!;
    if (end > first && tokens + own > splitTokens) break;
    const isNewBlock = end > first && block !== units[end - 1]!.block;
    const whole = blockTokens[block]!;
    if (isNewBlock && tokens >= splitTokens / 2 && whole <= splitTokens && tokens + whole > splitTokens) break;
    tokens += own;
  }
  return end;
}

interface Overlap {
  first: number;
  end: number;
  splitOverlap: number;
  /** What the next unit leaves free of a passage. */
  room: number;
}

/** Where the next passage begins: the last units that make no more than the overlap, and leave room for a new one. */
function overlapStart(units: readonly Unit[], { first, end, splitOverlap, room }: Overlap): number {
  let start = end;
  let tokens = 0;
  while (start - 1 > first) {
    tokens += units[start - 1]!.tokens;
    if (tokens > Math.min(splitOverlap, room)) break;
    start -= 1;
  }
  return start;
}

async function unitsOf(
  blocks: readonly string[],
  { countTokens, splitTokens }: Required<SplitOptions>,
  signal?: AbortSignal,
): Promise<Unit[]> {
  const breathe = breather(signal);
  const texts: string[] = [];
  const owners: number[] = [];
  for (const [block, text] of blocks.entries()) {
    for (const { segment } of SENTENCES.segment(text)) {
      texts.push(segment);
      owners.push(block);
    }
    await breathe();
  }
  const counts = await countTokens(texts);
  const units: Unit[] = [];
  for (const [i, text] of texts.entries()) {
    const [tokens, block] = [counts[i]!, owners[i]!];
    if (tokens <= splitTokens) units.push({ text, tokens, block });
    else units.push(...(await cutLong(text, { countTokens, splitTokens, block })));
    await breathe();
  }
  return units;
}

interface Cutting {
  countTokens: CountTokens;
  splitTokens: number;
  block: number;
}

async function cutLong(sentence: string, { countTokens, splitTokens, block }: Cutting): Promise<Unit[]> {
  let parts = Array.from(WORDS.segment(sentence), ({ segment }) => segment);
  const units: Unit[] = [];
  while (parts.length > 0) {
    const counts = await countTokens(parts);
    const halves: string[] = [];
    for (const [i, text] of parts.entries()) {
      const characters = Array.from(text);
      if (counts[i]! <= splitTokens || characters.length === 1) {
        if (halves.length === 0) units.push({ text, tokens: counts[i]!, block });
        else halves.push(text);
        continue;
      }
      const middle = characters.length >> 1;
      halves.push(characters.slice(0, middle).join(''), characters.slice(middle).join(''));
    }
    parts = halves;
  }
  return units;
}

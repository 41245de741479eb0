import { DataError, InvalidArgumentError } from '../errors.js';
import type { PlacedPassage } from './sources.js';

/** What becomes of passages that are likely mistakes. All are counted, whatever becomes of them. */
export interface CleaningOptions {
  /** An id that came before: 'error' (the default), or 'skip' the later passage. */
  duplicateIds?: 'error' | 'skip';
  /** A text of nothing but white space: 'keep' (the default; it may have a title), 'skip' or 'error'. */
  emptyTexts?: 'keep' | 'skip' | 'error';
  /** Bytes that are not UTF-8: 'error' (the default), 'replace' them by U+FFFD, or 'skip' the passage. */
  invalidUtf8?: 'error' | 'replace' | 'skip';
  /** Control characters other than tab and line ends: 'keep' (the default), 'replace' by spaces, 'skip' or 'error'. */
  controlCharacters?: 'keep' | 'replace' | 'skip' | 'error';
}

const CHOICES = {
  duplicateIds: ['error', 'skip'],
  emptyTexts: ['keep', 'skip', 'error'],
  invalidUtf8: ['error', 'replace', 'skip'],
  controlCharacters: ['keep', 'replace', 'skip', 'error'],
} as const;

type Mistake = keyof typeof CHOICES;

/** Names of CleaningOptions, with what each may be. */
export const cleaningChoices: Readonly<Record<Mistake, readonly string[]>> = CHOICES;

/** How often a mistake occurred, what became of it, and where it did first. */
export interface MistakeCount {
  count: number;
  handling: string;
  /** The first three places, as "file:line". */
  examples: string[];
}

/** What was found while a corpus was read. */
export interface CorpusReport extends Record<Mistake, MistakeCount> {
  /** Passages that the files have. */
  read: number;
  /** Passages that were skipped for a mistake. */
  skipped: number;
}

/** How often each mistake occurred, without those that did not. */
export function countMistakes(report: CorpusReport): Partial<Record<Mistake, number>> {
  const found = Object.keys(cleaningChoices).filter((name) => report[name as Mistake].count > 0);
  return Object.fromEntries(found.map((name) => [name, report[name as Mistake].count]));
}

/** A line for people about each mistake that occurred. */
export function describeMistakes(report: CorpusReport): string[] {
  return Object.keys(cleaningChoices).flatMap((name) => {
    const { count, handling, examples } = report[name as Mistake];
    const first = examples.join(', ') + (count > examples.length ? ', ...' : '');
    return count === 0 ? [] : [`corpus: ${name} ${count} (${handling}): ${first}`];
  });
}

const EXAMPLES = 3;
const CONTROL = /[^\P{Cc}\t\n\r]/u;
const CONTROLS = /[^\P{Cc}\t\n\r]/gu;

type Settled = Required<CleaningOptions>;

/** Fills in defaults. @throws InvalidArgumentError for a choice that there is not */
export function settleCleaning(options: CleaningOptions): Settled {
  const { duplicateIds = 'error', emptyTexts = 'keep', invalidUtf8 = 'error', controlCharacters = 'keep' } = options;
  const settled = { duplicateIds, emptyTexts, invalidUtf8, controlCharacters };
  for (const [name, choices] of Object.entries(cleaningChoices)) {
    const value = settled[name as Mistake];
    if (!choices.includes(value)) throw new InvalidArgumentError(name, `one of ${choices.join(', ')}`, value);
  }
  return settled;
}

/** Looks at passages as they are read, counts mistakes and does what was chosen. */
export class Cleaning {
  readonly #choices: Settled;
  readonly #idField: string | undefined;
  readonly report: CorpusReport;

  /** @param options.idField for messages */
  constructor(options: CleaningOptions & { idField?: string }) {
    this.#choices = settleCleaning(options);
    this.#idField = options.idField;
    const counts = Object.entries(this.#choices).map(([name, handling]) => [
      name,
      { count: 0, handling, examples: [] } satisfies MistakeCount,
    ]);
    this.report = { read: 0, skipped: 0, ...(Object.fromEntries(counts) as Record<Mistake, MistakeCount>) };
  }

  /** @returns the passage as it is to be used, or undefined if it is skipped. @throws DataError where that was chosen */
  clean(passage: PlacedPassage): PlacedPassage | undefined {
    this.report.read += 1;
    const { id, title, text } = passage;
    const isDamaged = passage.damaged || !(id.isWellFormed() && title.isWellFormed() && text.isWellFormed());
    if (isDamaged && this.#note('invalidUtf8', passage, 'UTF-8 text but found bytes or characters that are not')) {
      return undefined;
    }
    if (text.trim() === '' && this.#note('emptyTexts', passage, 'a text but it is empty')) return undefined;
    const hasControls = CONTROL.test(text) || CONTROL.test(title);
    if (hasControls && this.#note('controlCharacters', passage, `no control characters but found ${shown(passage)}`)) {
      return undefined;
    }
    const replaces = hasControls && this.#choices.controlCharacters === 'replace';
    const mended = replaces ? { ...passage, title: spaced(title), text: spaced(text) } : passage;
    return isDamaged ? wellFormed(mended) : mended;
  }

  /** A passage whose id came before. @throws DataError unless such passages are skipped */
  duplicate(passage: PlacedPassage, earlier: string): void {
    const problem = `ids that stand once but "${passage.id}" stands ${earlier} already`;
    this.#note('duplicateIds', passage, problem, this.#idField);
  }

  /** Counts a mistake. @returns whether the passage is skipped */
  #note(mistake: Mistake, { file, line }: PlacedPassage, problem: string, field?: string): boolean {
    const found = this.report[mistake];
    found.count += 1;
    if (found.examples.length < EXAMPLES) found.examples.push(`${file}:${line}`);
    if (found.handling === 'error') {
      const other = CHOICES[mistake].filter((choice) => choice !== 'error').join(' or ');
      const remedy = `mend the file, or choose ${other} by the option ${mistake}`;
      throw new DataError({ file, line, ...(field && { field }) }, `Expected ${problem}; ${remedy}.`);
    }
    if (found.handling !== 'skip') return false;
    this.report.skipped += 1;
    return true;
  }
}

function shown({ title, text }: PlacedPassage): string {
  const code = CONTROL.exec(title + text)![0].charCodeAt(0);
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

function spaced(text: string): string {
  return text.replace(CONTROLS, ' ');
}

function wellFormed(passage: PlacedPassage): PlacedPassage {
  const { id, title, text } = passage;
  return { ...passage, id: id.toWellFormed(), title: title.toWellFormed(), text: text.toWellFormed() };
}

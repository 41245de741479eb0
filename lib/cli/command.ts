import type { LongWork } from '../types.js';

/** How an option's text is read: the value's kind decides what the library gets. */
export type OptionKind = 'text' | 'texts' | 'whole' | 'number' | 'numbers' | 'flag' | 'number or word';

/** An option of a command. Its name is the API's; the command line writes `maxLength` as `--max-length`. */
export interface OptionSpec {
  name: string;
  kind: OptionKind;
  /** What a reader of --help sees in the place of the value, such as `directory`. */
  value?: string;
  help: string;
  required?: boolean;
  /** The heading under which --help lists it; 'Options' by default. */
  group?: string;
  choices?: readonly string[];
  /** What a configuration file may give instead, as the API takes it; the API checks what is inside. */
  orApiValue?: 'array' | 'object' | 'array or object' | 'string or array' | 'number';
}

/** What a command works with: a signal to obey, progress to report, and what it tells on stderr. */
export interface Session extends Required<LongWork> {
  /** A line for people, unless --quiet; with --json `facts` are in the line's object. */
  say(line: string, facts?: object): void;
  /** The same, for --verbose alone. */
  detail(line: string, facts?: object): void;
  /** Asks for yes or no; undefined where nobody sits at a terminal. */
  ask(question: string): Promise<boolean | undefined>;
}

/** What a command ends with: one object for --json, text for people, and the exit code if it is not 0. */
export interface Outcome {
  json: object;
  text: string;
  exitCode?: number;
}

/** A command as data; program.ts makes the command line and its help of it. */
export interface CommandSpec {
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** What it does, reads and writes, for --help. */
  description: string;
  options: readonly OptionSpec[];
  /** Options that only a command line has, which a configuration file may not give. */
  switches?: readonly OptionSpec[];
  /** Texts without an option in front, such as search's queries. */
  texts?: { name: string; help: string };
  /** Command lines that work as they are, with what each is for. */
  examples: readonly { line: string; purpose: string }[];
  run(options: Record<string, unknown>, session: Session, texts: string[]): Promise<Outcome>;
}

/** Options under a heading of --help. */
export function grouped(group: string, options: readonly OptionSpec[]): OptionSpec[] {
  return options.map((option) => ({ ...option, group }));
}

/** 'maxLength' → '--max-length'. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The options of these names that were given; the rest of a command's options is for others. */
export function pick<T extends object>(options: Record<string, unknown>, names: readonly (keyof T & string)[]): T {
  const given = names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]);
  return Object.fromEntries(given) as T;
}

export const EXIT = { ok: 0, failure: 1, usage: 2, notPromoted: 3, notConfirmed: 4 } as const;

/** A command line that cannot be meant. */
export class UsageError extends Error {}

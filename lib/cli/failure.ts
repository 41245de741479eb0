import { DataError, InvalidArgumentError, ListwiseError } from '../errors.js';
import type { NotFiniteError } from '../training/watched-trainer.js';
import { type CommandSpec, EXIT, flagOf, UsageError } from './command.js';
import { Interrupted } from './interrupt.js';

/** What to tell of an error, and the exit code. */
export interface Failure {
  code: string;
  message: string;
  exitCode: number;
  /** The ids of the queries that it is about, where the message cannot hold them all. */
  queries?: readonly string[];
}

/** Errors that tell which option to change. Others name fields of files, or what a run was made with. */
const ABOUT_OPTIONS = ['INVALID_ARGUMENT', 'REMOTE', 'BUDGET', 'NOT_FINITE'];

/** An error in the terms of the command line. */
export function explainFailure(error: unknown, spec: CommandSpec): Failure {
  if (error instanceof Interrupted) return { code: 'ABORTED', message: error.message, exitCode: error.exitCode };
  if (error instanceof UsageError) return { code: 'USAGE', message: error.message, exitCode: EXIT.usage };
  if (error instanceof InvalidArgumentError) {
    // Messages name the API's option; on the command line it is written with dashes.
    // Of an array the entry is named, which on the command line stands after its option.
    const option = error.argument.replace(/\[\d+\]$/, '');
    const isOption = spec.options.some(({ name }) => name === option);
    const message = isOption
      ? error.message.replace(` for ${error.argument} `, ` for ${flagOf(option)} `)
      : error.message;
    return { code: error.code, message: withFlags(message, spec), exitCode: EXIT.usage };
  }
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof ListwiseError || (error instanceof Error && code === 'SETUP')) {
    const exitCode = code === 'NOT_CONFIRMED' ? EXIT.notConfirmed : EXIT.failure;
    const isAboutOptions =
      ABOUT_OPTIONS.includes(String(code)) || (code === 'BAD_DATA' && !(error instanceof DataError));
    const message = isAboutOptions ? withFlags(error.message, spec) : withNamedFlags(error.message, spec);
    const { queryIds: queries } = error as Partial<NotFiniteError>;
    return { code: String(code), message, exitCode, ...(queries && { queries }) };
  }
  // Not an error that listwise explains: where it came from helps those who look into it.
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: typeof code === 'string' ? code : 'INTERNAL', message, exitCode: EXIT.failure };
}

/** A message with the API's option names as the command line writes them. Those of one small word may be plain words. */
function withFlags(message: string, { options }: CommandSpec): string {
  const names = options.map(({ name }) => name).filter((name) => /[A-Z]/.test(name));
  const written = (name: string) => new RegExp(`(?<![\\w/"-])${name}(?![\\w/"-])`, 'g');
  return names.reduce((text, name) => text.replace(written(name), flagOf(name)), message);
}

/** The same only where a message says that it means an option; other words are fields of a file. */
function withNamedFlags(message: string, { options }: CommandSpec): string {
  const isOption = (name: string) => options.some((option) => option.name === name);
  return message.replace(/\bthe option (\w+)/g, (text, name) => (isOption(name) ? flagOf(name) : text));
}

/** Where an error came from and what caused it, for --verbose. */
export function traceOf(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error && parts.length < 10; at = at.cause)
    parts.push(at.stack ?? at.message);
  return parts.join('\ncaused by: ');
}

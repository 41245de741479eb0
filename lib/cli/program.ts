import { readFileSync } from 'node:fs';
import { InvalidArgumentError as BadValue, Command, CommanderError, Option } from 'commander';
import type { ProgressStream } from '../progress.js';
import type { Progress } from '../types.js';
import { type CommandSpec, EXIT, flagOf, type OptionSpec, type Outcome, type Session, UsageError } from './command.js';
import { compareCommand } from './compare.js';
import { readConfig } from './config-file.js';
import { doctorCommand } from './doctor.js';
import { encodeCommand } from './encode.js';
import { evaluateCommand } from './evaluate.js';
import { exportCommand } from './export.js';
import { explainFailure, traceOf } from './failure.js';
import { interruptible } from './interrupt.js';
import { listsCommand } from './lists.js';
import { JsonLog, type Log, TextLog } from './log.js';
import { promptsCommand } from './prompts.js';
import { pushCommand } from './push.js';
import { queriesCommand } from './queries.js';
import { ask } from './question.js';
import { reportCommand } from './report.js';
import { searchCommand } from './search.js';
import { setupCommand } from './setup.js';
import { specializeCommand } from './specialize.js';
import { statusCommand } from './status.js';
import { studyCommand } from './study.js';
import { teachCommand } from './teach.js';
import { trainCommand } from './train.js';
import { trainCrossEncoderCommand } from './train-cross-encoder.js';

export interface Streams {
  stdout: { write(text: string): unknown };
  stderr: ProgressStream;
  /** Where answers come from, if anybody can be asked. */
  stdin?: NodeJS.ReadStream;
}

/** All commands, in the order in which the help lists them. */
export const COMMANDS: readonly CommandSpec[] = [
  specializeCommand,
  studyCommand,
  statusCommand,
  queriesCommand,
  promptsCommand,
  teachCommand,
  trainCommand,
  listsCommand,
  trainCrossEncoderCommand,
  evaluateCommand,
  compareCommand,
  reportCommand,
  encodeCommand,
  searchCommand,
  exportCommand,
  pushCommand,
  doctorCommand,
  setupCommand,
];

const AFTER_HELP = `
Exit codes: 0 success; 1 failure; 2 wrong usage; 3 the trained model is not promoted
(specialize); 4 --yes is needed to lose earlier work; 130 stopped by Ctrl-C, 143 by SIGTERM.
Results go to stdout, progress and messages to stderr. With --json every command writes exactly one JSON object to
stdout, after a failure {"error": {"code", "message"}}, and stderr has one JSON object a line: "time", "level" (info,
detail, progress, error) and what there is to tell.

Start with:
  $ npx listwise setup                  prepare libtorch and the addon, once
  $ npx listwise doctor                 see what was found
  $ npx listwise specialize --help      the whole way from a corpus to a better model`;

/**
 * Runs one command line, without the program's own name.
 * @returns the exit code
 */
export async function runCommandLine(args: readonly string[], streams: Streams = process): Promise<number> {
  const wantsJson = args.includes('--json');
  const program = buildProgram(streams, async (spec, given, texts) => {
    exitCode = await runCommand(spec, given, { streams, texts });
  });
  let exitCode: number = EXIT.ok;
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.ok;
    if (wantsJson) writeJson(streams, { error: { code: 'USAGE', message: error.message } });
    return EXIT.usage;
  }
  return exitCode;
}

type Action = (spec: CommandSpec, given: Record<string, unknown>, texts: string[]) => Promise<void>;

function buildProgram(streams: Streams, action: Action): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const program = new Command('listwise')
    .description('Makes an embedding model better at searching your documents, and proves it.')
    .version(version, '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .helpCommand(false)
    .configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      writeErr: (text) => streams.stderr.write(text),
    })
    .addHelpText('after', AFTER_HELP)
    .exitOverride();
  for (const spec of COMMANDS) addCommand(program, spec, action);
  return program;
}

function addCommand(program: Command, spec: CommandSpec, action: Action): void {
  const command = program
    .command(spec.name)
    .summary(spec.summary)
    .description(spec.description)
    .helpOption('--help', 'print this help')
    .allowExcessArguments(false)
    .showHelpAfterError(`Run \`listwise ${spec.name} --help\` for all options.`);
  if (spec.texts) command.argument(`[${spec.texts.name}...]`, spec.texts.help);
  for (const option of [...spec.options, ...(spec.switches ?? [])]) command.addOption(toOption(option));
  command
    .option('--config <file>', 'read options from a JSON or YAML file; the command line goes first')
    .option('--json', 'write one JSON object to stdout, and messages to stderr as JSON, one a line')
    .option('--quiet', 'show neither progress nor what becomes of stages')
    .option('--verbose', 'show every detail, and where errors came from')
    .addHelpText('after', examplesOf(spec))
    .action(async (...given: unknown[]) => {
      const texts = spec.texts ? (given[0] as string[]) : [];
      await action(spec, command.opts(), texts);
    });
}

function examplesOf({ examples }: CommandSpec): string {
  const lines = examples.flatMap(({ line, purpose }) => [`  # ${purpose}`, ...continued(`  $ npx listwise ${line}`)]);
  return `\nExamples:\n${lines.join('\n')}`;
}

/** A long command line, broken before options so that it can still be copied. */
function continued(line: string): string[] {
  const lines: string[] = [];
  let current = '';
  for (const part of line.split(/(?= --)/)) {
    if (current && current.length + part.length > 78) {
      lines.push(`${current} \\`);
      current = `     ${part}`;
    } else current += part;
  }
  return [...lines, current];
}

function toOption({ name, kind, value, help, required, choices, group }: OptionSpec): Option {
  const flag = flagOf(name);
  const rest = kind === 'texts' || kind === 'numbers' ? '...' : '';
  const flags = kind === 'flag' ? flag : `${flag} <${choices ? 'choice' : value}${rest}>`;
  const option = new Option(flags, `${required ? '(required) ' : ''}${help}`);
  if (group) option.helpGroup(`${group}:`);
  if (choices) option.choices([...choices]);
  else if (kind === 'whole') option.argParser((text) => parseNumber(text, { whole: true }));
  else if (kind === 'number') option.argParser((text) => parseNumber(text));
  else if (kind === 'numbers') option.argParser((text, earlier: number[] = []) => [...earlier, parseNumber(text)]);
  else if (kind === 'number or word') option.argParser((text) => (/^[a-z]/i.test(text) ? text : parseNumber(text)));
  return option;
}

function parseNumber(text: string, { whole = false } = {}): number {
  const number = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(number) || (whole && !Number.isSafeInteger(number))) {
    throw new BadValue(`Expected a ${whole ? 'whole ' : ''}number.`);
  }
  return number;
}

interface Invocation {
  streams: Streams;
  texts: string[];
}

async function runCommand(spec: CommandSpec, given: Record<string, unknown>, invocation: Invocation): Promise<number> {
  const { streams, texts } = invocation;
  const { json, quiet, verbose, config, ...own } = given;
  const loudness = quiet ? 'quiet' : verbose ? 'verbose' : 'normal';
  const log = json ? new JsonLog(streams.stderr, loudness) : new TextLog(streams.stderr, loudness);
  try {
    if (quiet && verbose) throw new UsageError('--quiet and --verbose exclude one another.');
    const options = typeof config === 'string' ? { ...(await readConfig(config, spec.options)), ...own } : own;
    checkRequired(spec, options);
    const outcome = await interruptible(
      (signal) => spec.run(options, sessionOf(log, signal, streams), texts),
      () => log.fail('Stopping cleanly; press Ctrl-C again to stop at once.', { code: 'ABORTING' }),
    );
    log.end();
    write(streams, outcome, json === true);
    return outcome.exitCode ?? EXIT.ok;
  } catch (error) {
    log.end();
    const { exitCode, ...failure } = explainFailure(error, spec);
    const { code, message } = failure;
    log.detail(traceOf(error));
    log.fail(json || code === 'ABORTED' ? message : `error: ${message}`, { code });
    if (json) writeJson(streams, { error: failure });
    return exitCode;
  }
}

function sessionOf(log: Log, signal: AbortSignal, { stdin, stderr }: Streams): Session {
  return {
    signal,
    onProgress: (progress: Progress) => log.progress(progress),
    say: (line, facts) => log.say(line, facts),
    detail: (line, facts) => log.detail(line, facts),
    ask: async (question) => {
      log.end();
      return stdin && ask(question, { input: stdin, output: stderr as NodeJS.WriteStream }, signal);
    },
  };
}

function checkRequired({ name, options: specs }: CommandSpec, options: Record<string, unknown>): void {
  const missing = specs.filter((spec) => spec.required && options[spec.name] === undefined);
  if (missing.length === 0) return;
  const flags = missing.map((spec) => flagOf(spec.name)).join(', ');
  throw new UsageError(`${name} needs ${flags}. Run \`listwise ${name} --help\` for what to give.`);
}

function write(streams: Streams, { json, text }: Outcome, asJson: boolean): void {
  if (asJson) writeJson(streams, json);
  else streams.stdout.write(text.endsWith('\n') || text === '' ? text : `${text}\n`);
}

function writeJson({ stdout }: Streams, value: object): void {
  stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

import { duration, progressLine } from '../progress.js';
import type { RunStatus, StageStatus } from '../specialize/status.js';
import type { CommandSpec } from './command.js';
import { UsageError } from './command.js';
import { counted } from './run-session.js';

export const statusCommand: CommandSpec = {
  name: 'status',
  summary: 'say where a run is, also while it is under way',
  description:
    'Reads a run directory and says of each stage whether it is done, and of a run that is under way in another process ' +
    'how far it is. Changes nothing. Exit code 1 for a run that failed or was killed.',
  options: [],
  texts: { name: 'run', help: 'the run directory, that is, the --output of specialize' },
  examples: [
    { line: 'status runs/cranfield', purpose: 'how far is it?' },
    { line: 'status runs/cranfield --json | jq .progress', purpose: 'for a script' },
  ],
  async run(_options, _session, texts) {
    const [output] = texts;
    if (texts.length !== 1 || output === undefined) throw new UsageError('status needs one run directory.');
    const { runStatus } = await import('../specialize/status.js');
    const status = await runStatus(output);
    const isWrong = status.state === 'failed' || status.state === 'killed';
    return { json: status, text: readable(status), ...(isWrong && { exitCode: 1 }) };
  },
};

function readable(status: RunStatus): string {
  const width = Math.max(...status.stages.map(({ stage }) => stage.length));
  const lines = status.stages.map((one) => `${one.stage.padEnd(width)}  ${stageLine(one)}`);
  return [`${status.directory}: ${headline(status)}`, ...lines, ...lastWords(status)].join('\n');
}

function headline({ state, holder, error, stages, updated }: RunStatus): string {
  switch (state) {
    case 'running':
      return `under way in process ${holder!.pid} on ${holder!.host} since ${local(holder!.since)}`;
    case 'failed':
      return `failed at ${local(updated!)}: ${error}`;
    case 'killed':
      return `ended without a word after ${local(updated!)} (killed, or the machine went down); start it again to go on`;
    case 'stopped':
      return stages.every((one) => one.state === 'done') ? 'complete' : 'not under way; start it again to go on';
  }
}

function stageLine({ state, seconds, counts, started }: StageStatus): string {
  if (state === 'done') return `done in ${duration(seconds ?? 0)}${counted(counts)}`;
  if (state === 'running') return `under way${started ? ` since ${local(started)}` : ''}`;
  return state === 'begun' ? 'begun, and not finished' : 'to do';
}

function lastWords({ state, progress }: RunStatus): string[] {
  if (!progress) return [];
  return [`${state === 'running' ? 'now' : 'last'}: ${progressLine(progress)}`];
}

function local(time: string): string {
  return new Date(time).toLocaleString('sv');
}

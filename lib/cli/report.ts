import { type CommandSpec, UsageError } from './command.js';

export const reportCommand: CommandSpec = {
  name: 'report',
  summary: "write a run's report.html again",
  description:
    'Makes report.html of a run directory anew from the files in it: what was run, what became of the queries, how ' +
    'training went, base against trained model with intervals, gains and losses with texts, and what they mean. The ' +
    'page is one file without scripts, and asks no network. `specialize` writes it at its end by itself.',
  texts: { name: 'run', help: 'the run directory' },
  options: [],
  examples: [{ line: 'report runs/mine', purpose: 'then open runs/mine/report.html' }],
  async run(_, { signal }, texts) {
    const [directory, ...more] = texts;
    if (directory === undefined || more.length > 0) throw new UsageError('report takes one run directory.');
    const { writeReport } = await import('../report/report.js');
    const report = await writeReport(directory, { signal });
    return { json: { report }, text: report };
  },
};

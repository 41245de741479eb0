import { describeLibtorch } from '../setup/libtorch.js';
import { setUp } from '../setup/main.js';
import type { CommandSpec } from './command.js';

export const setupCommand: CommandSpec = {
  name: 'setup',
  summary: 'prepare libtorch and the addon',
  description:
    'Finds libtorch (the variable LIBTORCH, then the torch of python3, then a copy of its own) or fetches a copy by ' +
    'pip, and prepares the addon: a prebuilt one if one fits, else compiled with the C++ compiler and cmake of this ' +
    'machine. Says before downloading anything what, where to and how large. What is done already is not done again.',
  options: [
    { name: 'smallModel', kind: 'flag', help: 'also fetch all-MiniLM-L6-v2, for a first try' },
    { name: 'compile', kind: 'flag', help: 'compile the addon even where a prebuilt one fits' },
  ],
  examples: [
    { line: 'setup', purpose: 'prepare this machine' },
    { line: 'setup --small-model', purpose: 'and fetch a small model to try things with' },
  ],
  async run({ smallModel, compile }) {
    const { libtorch, addon, model } = await setUp({ model: smallModel === true, compile: compile === true });
    const lines = [describeLibtorch(libtorch), `addon: ${addon}`, ...(model ? [`model: ${model}`] : []), 'Ready.'];
    return { json: { libtorch, addon, ...(model ? { model } : {}) }, text: lines.join('\n') };
  },
};

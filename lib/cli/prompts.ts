import { cp, readdir } from 'node:fs/promises';
import { WriteError } from '../errors.js';
import { makeDirectory, writing } from '../formats/writing.js';
import type { CommandSpec } from './command.js';

export const promptsCommand: CommandSpec = {
  name: 'prompts',
  summary: 'copy the prompts that queries are written with, to change them',
  description:
    'Copies the types of queries and the pool of examples that come with listwise. A type is a YAML file: instruction, ' +
    'examples (how many a prompt shows) and pool (the file they are drawn from, or a list of {passage, query}). Change ' +
    'them, take some away, add your own, and give the directory or single files to --query-types.',
  options: [{ name: 'output', kind: 'text', value: 'directory', required: true, help: 'where the copies go' }],
  examples: [{ line: 'prompts --output my-prompts', purpose: 'then: queries --query-types my-prompts ...' }],
  async run({ output }) {
    const { promptsDirectory } = await import('../queries/query-type.js');
    const directory = output as string;
    const there = await readdir(directory).catch(() => []);
    if (there.length > 0) {
      throw new WriteError(directory, 'it has files already, which may be changed prompts; give another directory');
    }
    await makeDirectory(directory);
    await writing(directory, () => cp(promptsDirectory, directory, { recursive: true }));
    const files = (await readdir(directory)).sort();
    return { json: { directory, files }, text: files.map((file) => `${directory}/${file}`).join('\n') };
  },
};

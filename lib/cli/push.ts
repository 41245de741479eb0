import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ListwiseError } from '../errors.js';
import { type CommandSpec, type Outcome, pick, UsageError } from './command.js';

export const pushCommand: CommandSpec = {
  name: 'push',
  summary: 'upload a model and its card to the Hugging Face Hub',
  description:
    "Uploads the model that a run recommends, or a model's directory: configuration, tokeniser, weights and card " +
    '(README.md), in one commit, after asking. The repository is made if there is none. HF_TOKEN, or the token of `hf ' +
    'auth login`, must allow it. A run whose trained model was not promoted is refused; name the directory of the model ' +
    'itself to push it nevertheless.',
  texts: { name: 'run', help: "a run directory or a model's directory" },
  options: [
    { name: 'repo', kind: 'text', value: 'owner/name', required: true, help: 'the repository on the Hub' },
    {
      name: 'visibility',
      kind: 'text',
      choices: ['private', 'public'],
      help: 'of a repository that is made new (default: private)',
    },
    { name: 'message', kind: 'text', value: 'text', help: "the commit's title" },
    { name: 'yes', kind: 'flag', help: 'do not ask' },
  ],
  examples: [
    { line: 'push runs/mine --repo me/bge-base-for-my-documents', purpose: 'says what it will upload, and asks' },
  ],
  async run(options, session, texts): Promise<Outcome> {
    const [place, ...more] = texts;
    if (place === undefined || more.length > 0)
      throw new UsageError('push takes one run directory or model directory.');
    const { planPush, pushModel } = await import('../models/push.js');
    const directory = await modelOf(place);
    const plan = await planPush(directory, { repo: String(options['repo']) });
    for (const { path, bytes } of plan.files) session.say(`  ${size(bytes).padStart(9)}  ${path}`, { path, bytes });
    const question = `Upload these ${plan.files.length} files (${size(plan.bytes)}) to ${plan.url}?`;
    if (options['yes'] !== true) {
      const answer = await session.ask(question);
      if (answer === undefined) throw new UsageError(`${question} Nobody is there to answer: give --yes.`);
      if (!answer) return { json: { pushed: false, ...plan }, text: 'Nothing was uploaded.', exitCode: 1 };
    }
    const choices = pick<Parameters<typeof pushModel>[1]>(options, ['repo', 'visibility', 'message']);
    const result = await pushModel(directory, { ...choices, signal: session.signal });
    return { json: { pushed: true, ...result }, text: result.url };
  },
};

/** A run's model/, if it is the trained one; a model's directory as it is. */
async function modelOf(place: string): Promise<string> {
  const file = join(place, 'promotion', 'promotion.json');
  if (!existsSync(file)) return existsSync(join(place, 'manifest.json')) ? join(place, 'model') : place;
  const { promoted } = JSON.parse(await readFile(file, 'utf8')) as { promoted: boolean };
  if (promoted) return join(place, 'model');
  throw new ListwiseError(
    'INVALID_ARGUMENT',
    `The trained model of ${place} was not promoted, and model/ is the base as it was. To push the trained one nevertheless, ` +
      `name it: ${join(place, 'training', 'model')}.`,
  );
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

import type { CommandSpec, OptionSpec } from './command.js';

type Schema = Record<string, unknown>;

/**
 * The JSON Schema (draft 2020-12) of a command's configuration file, by which editors complete and check it. It is made
 * of the same specifications as the command line, and says what `readConfig` takes. What is required is left to the
 * command, since the command line may give it.
 */
export function configSchema({ name, summary, options }: CommandSpec): Schema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `Options of \`listwise ${name}\``,
    description: `For --config: ${summary}.`,
    type: 'object',
    properties: {
      $schema: { type: 'string', description: 'this schema, for editors' },
      ...Object.fromEntries(options.map((option) => [option.name, optionSchema(option)])),
    },
    additionalProperties: false,
  };
}

const KINDS: Record<OptionSpec['kind'], Schema> = {
  text: { type: 'string' },
  texts: { type: 'array', items: { type: 'string' }, minItems: 1 },
  whole: { type: 'integer' },
  number: { type: 'number' },
  numbers: { type: 'array', items: { type: 'number' } },
  'number or word': { type: ['number', 'string'] },
  flag: { type: 'boolean' },
};

function optionSchema(option: OptionSpec): Schema {
  const { kind, choices, help, orApiValue } = option;
  const own = choices ? { enum: choices } : KINDS[kind];
  const api = (['string', 'number', 'array', 'object'] as const)
    .filter((type) => orApiValue?.includes(type))
    .map((type) => ({ type }));
  return {
    description: help,
    ...(api.length > 0 ? { anyOf: [own, ...api] } : own),
    ...defaultOf(option),
  };
}

/** The default as the help has it, where it is a value of the option's kind. */
function defaultOf({ help, kind, choices }: OptionSpec): Schema {
  const text = /\(default: ([^\s,)]+)\)/.exec(help)?.[1];
  if (text === undefined) return {};
  if (choices?.includes(text)) return { default: text };
  const isNumber = ['whole', 'number'].includes(kind) && text.trim() !== '' && Number.isFinite(Number(text));
  return isNumber ? { default: Number(text) } : {};
}

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import type { CommandSpec } from '../lib/cli/command.js';
import { readConfig } from '../lib/cli/config-file.js';
import { configSchema } from '../lib/cli/config-schema.js';
import { COMMANDS } from '../lib/cli/program.js';
import { root } from '../lib/setup/paths.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

const withOptions = COMMANDS.filter(({ options }) => options.length > 0);
const specialize = COMMANDS.find(({ name }) => name === 'specialize')!;

function write(content: string, name = 'options.yaml'): string {
  const file = join(temporaryDirectory(), name);
  writeFileSync(file, content);
  return file;
}

describe('readConfig', () => {
  const read = (content: string, name?: string) => readConfig(write(content, name), specialize.options);

  it('reads YAML and JSON alike, with the names of the API', async () => {
    const yaml = [
      '# yaml-language-server: $schema=node_modules/listwise/schemas/specialize.json',
      'corpus: my-corpus',
      'learningRate: 2e-5   # low',
      'retrievers: [dense, bm25]',
      'measures:',
      '  - nDCG@10',
      'excludeJudged: true',
      'teacher: {scores: scores.jsonl}',
    ].join('\n');
    const options = {
      corpus: 'my-corpus',
      learningRate: 2e-5,
      retrievers: ['dense', 'bm25'],
      measures: ['nDCG@10'],
      excludeJudged: true,
      teacher: { scores: 'scores.jsonl' },
    };
    expect(await read(yaml)).to.deep.equal(options);
    expect(await read(JSON.stringify({ $schema: 'specialize.json', ...options }), 'options.json')).to.deep.equal(
      options,
    );
  });

  it('names file and line of what is no YAML, and of an option given twice', async () => {
    expect((await rejection(read('corpus: a\nmodel: [b\nseed: 1'))).message).to.match(
      /options\.yaml:3: Expected one YAML object of options: /,
    );
    expect((await rejection(read('seed: 1\nseed: 2'))).message).to.match(/options\.yaml:2: .*unique/);
    const tenfold = (i: number) => `x${i}: &a${i} [${Array(10).fill(`*a${i - 1}`)}]`;
    const bomb = ['x0: &a0 [1]', ...Array.from({ length: 9 }, (_, i) => tenfold(i + 1))].join('\n');
    expect((await rejection(read(bomb))).message).to.match(
      /options\.yaml: Expected one YAML object of options: Excessive alias count/,
    );
    expect((await rejection(read('- seed'))).message).to.include(
      'Expected one object of options but found an array of 1.',
    );
    expect((await rejection(read('learningrate: 1'))).message).to.include(
      '(field "learningrate"): There is no such option; did you mean "learningRate"?',
    );
  });
});

describe('configSchema', () => {
  it('is written for every command that has options', () => {
    const directory = temporaryDirectory();
    const program = join(root, 'lib', 'cli', 'write-schemas.ts');
    execFileSync(process.execPath, ['--import=tsx', program, directory], { cwd: root });
    for (const spec of withOptions) {
      const written = JSON.parse(readFileSync(join(directory, `${spec.name}.json`), 'utf8'));
      expect(written).to.deep.equal(JSON.parse(JSON.stringify(configSchema(spec))));
    }
    const { files, scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(files).to.include('schemas');
    expect(scripts.prepack).to.include('write-schemas.js');
  });

  /** Values of every kind, of which each option takes some and refuses others. */
  const values = ['text', '', 1, -1.5, true, ['a'], [1], [], { a: 1 }, null, 'english', 'fp32'];

  it('takes and refuses, for every option of every command, what the program does', async () => {
    const ajv = new Ajv2020({ allowUnionTypes: true });
    let refused = 0;
    let taken = 0;
    const check = async (spec: CommandSpec, name: string, value: unknown) => {
      const config = { [name]: value };
      const bySchema = validators.get(spec.name)!(config);
      const byProgram = await readConfig(write(JSON.stringify(config), 'options.json'), spec.options).then(
        () => true,
        () => false,
      );
      expect(bySchema, `${spec.name} ${JSON.stringify(config)}`).to.equal(byProgram);
      if (byProgram) taken += 1;
      else refused += 1;
    };
    const validators = new Map(withOptions.map((spec) => [spec.name, ajv.compile(configSchema(spec))]));
    for (const spec of withOptions) {
      // One option of each shape will do: the others are made by the same lines.
      const shapes = new Map(spec.options.map((one) => [`${one.kind} ${one.choices} ${one.orApiValue}`, one.name]));
      for (const name of [...shapes.values(), 'noSuchOption', '$schema']) {
        for (const value of name === '$schema' ? ['text'] : values) await check(spec, name, value);
      }
    }
    expect(taken).to.be.above(50);
    expect(refused).to.be.above(100);
  });

  it('has help and defaults for editors', () => {
    const { properties } = configSchema(specialize) as { properties: Record<string, object> };
    expect(properties.learningRate).to.deep.equal({
      description: 'highest learning rate (default: 2e-4)',
      type: 'number',
      default: 2e-4,
    });
    expect(properties.batching).to.include({ default: 'random' });
  });
});

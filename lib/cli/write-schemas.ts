import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../setup/paths.js';
import { configSchema } from './config-schema.js';
import { COMMANDS } from './program.js';

// A program: writes <command>.json for each command that has options, into schemas/ or the directory that is named.
// It runs when the package is packed, which ships them.
const directory = process.argv[2] ?? join(root, 'schemas');
await mkdir(directory, { recursive: true });
for (const spec of COMMANDS) {
  if (spec.options.length === 0) continue;
  await writeFile(join(directory, `${spec.name}.json`), `${JSON.stringify(configSchema(spec), null, 2)}\n`);
}

#!/usr/bin/env node
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { prebuiltFor } from './addon.js';
import { buildAddon, buildPaths } from './build.js';
import { say } from './command.js';
import { ensureLibtorch, requireLibtorch } from './download.js';
import { SetupError } from './errors.js';
import { describeLibtorch } from './libtorch.js';
import { ensurePackages } from './packages.js';
import { isCheckout } from './paths.js';

/**
 * Everything that must be there before listwise can run, each step only if it is needed: in a checkout the npm
 * packages and the compiled JavaScript, then libtorch and the addon, then, where asked for, the small model.
 * @param {{ model?: boolean, only?: 'addon', compile?: boolean, download?: boolean }} [options] compile: even where a
 *   prebuilt addon fits; download: whether a missing libtorch is fetched
 * @returns {Promise<{ libtorch: import('./libtorch.js').Libtorch, addon: string, model: string | null }>}
 * @throws {SetupError} saying what is missing and what to do
 */
export async function setUp({ model = false, only, compile = false, download = true } = {}) {
  if (isCheckout() && only !== 'addon') await ensurePackages();
  const libtorch = download ? await ensureLibtorch() : requireLibtorch();
  const prebuilt = isCheckout() || compile ? null : prebuiltFor(libtorch);
  if (!prebuilt) await buildAddon(libtorch);
  // Loaded only now: these may need packages that the first step has just installed.
  if (isCheckout() && only !== 'addon') await (await import('./dist.js')).buildDist();
  const directory = model ? await (await import('./model.js')).ensureSmallModel() : null;
  return { libtorch, addon: prebuilt ?? buildPaths.addon, model: directory };
}

const usage = `Usage: node lib/setup/main.js [--model] [--addon [--no-download]] [--print]

Prepares listwise: npm packages, libtorch, the compiled addon, compiled JavaScript. Steps that are done are skipped.

  --model        also fetch all-MiniLM-L6-v2, which the quickstart and the tests use
  --addon        only libtorch and the addon
  --no-download  with --addon: do with a libtorch that is there already
  --print        say at the end what is used and where it lies`;

async function main() {
  const options = /** @type {const} */ ({
    model: { type: 'boolean' },
    addon: { type: 'boolean' },
    'no-download': { type: 'boolean' },
    print: { type: 'boolean' },
    help: { type: 'boolean' },
  });
  const { values } = parseArgs({ options });
  if (values.help) return console.log(usage);
  if (values['no-download'] && (values.model || !values.addon)) {
    throw new SetupError('--no-download goes with --addon alone: npm packages and the model are fetched.');
  }
  const only = values.addon ? { only: /** @type {const} */ ('addon') } : {};
  const { libtorch, addon, model } = await setUp({ model: values.model, ...only, download: !values['no-download'] });
  if (!values.print) return;
  console.log([describeLibtorch(libtorch), `addon: ${addon}`, ...(model ? [`model: ${model}`] : [])].join('\n'));
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  main().catch((error) => {
    const isOurs = error instanceof SetupError || error?.code?.startsWith?.('ERR_PARSE_ARGS');
    say(isOurs ? `listwise set-up: ${error.message}` : String(error?.stack ?? error));
    process.exitCode = 1;
  });
}

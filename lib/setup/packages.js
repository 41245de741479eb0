import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand, say } from './command.js';
import { SetupError } from './errors.js';
import { withLock } from './lock.js';
import { root } from './paths.js';

/**
 * Installs the npm packages of a checkout, if what is in node_modules is not what package-lock.json names.
 * @returns {Promise<boolean>} whether anything was installed
 */
export async function ensurePackages() {
  if (missingPackages().length === 0) return false;
  return withLock(join(root, '.npm-ci.lock'), installPackages, {
    onWait: () => say('Waiting for another process that installs the npm packages.'),
  });
}

async function installPackages() {
  const missing = missingPackages();
  if (missing.length === 0) return false;
  say(`Installing npm packages: ${missing.length} of package-lock.json are missing or of another version.`);
  // No package of ours needs its install script to run, and a script may download or compile anything.
  const args = ['ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  const { ok, reason } = npm?.endsWith('.js')
    ? await runCommand(process.execPath, [npm, ...args], { cwd: root })
    : await runCommand('npm', args, { cwd: root });
  if (ok) return true;
  throw new SetupError(`npm ci in ${root} did not succeed: ${reason}.`, {
    fixes: [
      "see npm's own message above",
      'check that the npm registry can be reached: `npm ping`',
      'if package.json was edited by hand, bring package-lock.json up to date with `npm install`',
    ],
  });
}

/**
 * Names of packages that package-lock.json asks for and node_modules does not hold in that version. Compares with the
 * list that npm keeps of what it installed, so it takes milliseconds and works after a plain `npm install` as well.
 * @param {string} [directory]
 * @returns {string[]}
 */
export function missingPackages(directory = root) {
  const wanted = packagesOf(join(directory, 'package-lock.json'));
  const installed = packagesOf(join(directory, 'node_modules', '.package-lock.json'));
  return Object.entries(wanted)
    .filter(([path, entry]) => path !== '' && !isThere(directory, path, { entry, installed }))
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
}

/** @typedef {{ version?: string, optional?: boolean, devOptional?: boolean }} LockEntry */

/** @param {string} file @returns {Record<string, LockEntry>} */
function packagesOf(file) {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')).packages ?? {}) : {};
}

/**
 * An optional package may be absent: npm leaves out those that are for another platform.
 * @param {string} directory @param {string} path
 * @param {{ entry: LockEntry, installed: Record<string, LockEntry> }} packages
 */
function isThere(directory, path, { entry, installed }) {
  const found = installed[path];
  if (!found) return Boolean(entry.optional || entry.devOptional) && Object.keys(installed).length > 0;
  return found.version === entry.version && existsSync(join(directory, path));
}

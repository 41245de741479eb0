import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildAddon } from './build.js';
import { say } from './command.js';
import { findLibtorch, minorVersion } from './libtorch.js';
import { root } from './paths.js';

/**
 * `npm run prebuildify`: packs the addon by prebuildify into prebuilds/torch-<minor>/prebuilds/<platform>-<arch>, since
 * an addon works with the minor version of libtorch that it was compiled against and no other. prebuildify means to
 * call node-gyp; it is given this file instead, which compiles by cmake-js.
 */
async function prebuild() {
  const { libtorch } = findLibtorch();
  if (!libtorch) throw new Error('No libtorch was found; run `node lib/setup/main.js` first.');
  if (process.argv[2] === 'rebuild') return void (await buildAddon(libtorch));
  const prebuildify = promisify(createRequire(import.meta.url)('prebuildify'));
  const out = join(root, 'prebuilds', `torch-${minorVersion(libtorch.version)}`);
  const nodeGyp = `"${process.execPath}" "${fileURLToPath(import.meta.url)}"`;
  await prebuildify({
    cwd: root,
    out,
    napi: true,
    strip: true,
    targets: [process.versions.node],
    nodeGyp,
    shell: true,
  });
  say(`Packed: ${out}`);
}

prebuild().catch((error) => {
  say(error.message);
  process.exitCode = 1;
});

import { prebuiltFor } from './addon.js';
import { buildAddon, missingTools } from './build.js';
import { say } from './command.js';
import { findLibtorch } from './libtorch.js';
import { isCheckout } from './paths.js';

/**
 * What `npm install listwise` runs. Downloads nothing: compiles the addon if a libtorch and a compiler are there and
 * no prebuilt addon fits. Never fails the installation, since `npx listwise setup` can do it later and explain more.
 */
async function install() {
  if (isCheckout()) return;
  const { libtorch } = findLibtorch();
  if (!libtorch) return say('listwise: no libtorch was found yet. Run `npx listwise setup` once to prepare it.');
  if (prebuiltFor(libtorch)) return;
  if (missingTools().length)
    return say('listwise: the addon is not compiled yet. Run `npx listwise setup` to see why.');
  await buildAddon(libtorch);
}

install().catch((error) => {
  say(
    `listwise: ${error.message}\nlistwise: the package is installed; once that is mended, run \`npx listwise setup\`.`,
  );
});

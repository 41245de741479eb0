import { prebuiltFor } from './addon.js';
import { buildAddon, missingBuildPackages, missingTools } from './build.js';
import { say } from './command.js';
import { findLibtorch } from './libtorch.js';
import { isCheckout } from './paths.js';

const SETUP = isCheckout() ? 'npm run setup' : 'npx listwise setup';

/**
 * What `npm install listwise` runs, and `npm install` and `npm rebuild` in a clone. Downloads nothing: compiles the
 * addon if packages, a libtorch and a compiler are there and no prebuilt addon fits; what is compiled already is not
 * compiled again. Never fails the installation, since set-up can do it later and explain more.
 */
async function install() {
  const { libtorch } = findLibtorch();
  if (!libtorch) return say(`listwise: no libtorch was found yet. Run \`${SETUP}\` once to prepare it.`);
  if (!isCheckout() && prebuiltFor(libtorch)) return;
  if (missingBuildPackages().length || missingTools().length)
    return say(`listwise: the addon is not compiled yet. Run \`${SETUP}\`, which does it or says why it cannot.`);
  await buildAddon(libtorch);
}

install().catch((error) => {
  say(`listwise: ${error.message}\nlistwise: the package is installed; once that is mended, run \`${SETUP}\`.`);
});

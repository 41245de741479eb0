import { existsSync } from 'node:fs';
import type { Context } from 'mocha';
import { type Browser, chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Starts the browser that LISTWISE_TEST_CHROMIUM names, or the system's; skips the tests where there is none. */
export async function startChromium(test: Context): Promise<Browser> {
  const named = process.env.LISTWISE_TEST_CHROMIUM;
  const executablePath = [named, ...PLACES].find((path) => path && existsSync(path));
  if (!executablePath) {
    console.log('      skipped: no Chromium; `apt install chromium`, or set LISTWISE_TEST_CHROMIUM');
    test.skip();
  }
  // Root, as CI's containers have it, has no sandbox.
  return chromium.launch({ executablePath: executablePath as string, args: ['--no-sandbox'] });
}

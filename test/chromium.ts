import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import axe from 'axe-core';
import { expect } from 'chai';
import type { Context } from 'mocha';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

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

/** Opens a file; `problems` gathers what the page complains of, and what it asks of other places. */
export async function openPage(
  browser: Browser,
  file: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; problems: string[] }> {
  const page = await browser.newPage(options);
  const problems: string[] = [];
  page.on('console', (message) => problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('dialog', (dialog) => problems.push(`dialog: ${dialog.message()}`));
  page.on('request', (request) => {
    if (!request.url().startsWith('file:')) problems.push(`asked ${request.url()}`);
  });
  await page.goto(pathToFileURL(file).href);
  return { page, problems };
}

/** Asserts that a page made of hostile texts shows them as texts, stays as wide as its window and has no problems. */
export async function expectHarmless({ page, problems }: Awaited<ReturnType<typeof openPage>>, title: string) {
  expect(await page.title())
    .to.contain(title)
    .and.to.not.equal('owned');
  expect(await page.isVisible('main')).to.equal(true);
  expect(await page.locator('body script, body img, body style').count()).to.equal(0);
  const [width, room] = (await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')) as number[];
  expect(width).to.be.at.most(room!);
  expect(problems).to.deep.equal([]);
}

/**
 * Keeps a picture of the whole page in the directory that LISTWISE_TEST_SCREENSHOTS names, for people to look at; does
 * nothing where it names none.
 */
export async function screenshot(page: Page, name: string): Promise<void> {
  const directory = process.env.LISTWISE_TEST_SCREENSHOTS;
  if (directory) await page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
}

/** The width of A4 less margins of 1 cm, at 96 pixels an inch. */
export const PAPER = { width: 718, height: 1047 };

/** Tables and other boxes that reach out of the page, by their labels. */
export async function clipped(page: Page): Promise<string[]> {
  return page.evaluate(`[...document.querySelectorAll('main *, header *')]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 || (one.matches('.scroll') && one.scrollWidth > one.clientWidth))
    .map((one) => one.closest('[aria-label]')?.getAttribute('aria-label') ?? one.outerHTML.slice(0, 100))`);
}

/** What axe finds against a page's accessibility. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations: found } = (await page.evaluate('axe.run()')) as axe.AxeResults;
  return found.map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 200)}`);
}

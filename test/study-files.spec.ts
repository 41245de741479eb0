import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Context } from 'mocha';
import type { Browser } from 'playwright-core';
import { studyPage } from '../lib/study/page.js';
import type { StudyFacts } from '../lib/study/results.js';
import type { Study } from '../lib/study/study.js';
import { formatStudy } from '../lib/study/table.js';
import { clipped, expectHarmless, openPage, PAPER, screenshot, startChromium, violations } from './chromium.js';
import { run as runCommand } from './command-lines.js';
import { temporaryDirectory } from './helpers.js';
import { HOSTILE } from './hostile.js';
import { wholeOptions, wholeStudy } from './study-runs.js';

/** For the hook of each describe: a hook of the file would be one of all files. */
let whole: Study;
const place = (...names: string[]) => join(whole.directory, ...names);

async function haveStudy(this: Context): Promise<void> {
  this.timeout(120_000);
  whole = (await wholeStudy()).result;
}

describe('what a study writes', () => {
  before(haveStudy);

  it('has all facts in study.json, and the tables in text and Markdown', () => {
    const { directory, report, seconds, ...facts } = whole;
    expect(JSON.parse(readFileSync(place('study.json'), 'utf8'))).to.deep.equal(JSON.parse(JSON.stringify(facts)));
    const markdown = readFileSync(place('study.md'), 'utf8');
    const text = formatStudy(whole, { width: 100 });
    for (const { name, measures } of whole.variants) {
      expect(text).to.contain(name);
      expect(markdown).to.contain(measures['nDCG@10']!.mean.toFixed(4));
    }
    for (const line of text.split('\n')) expect(line.length, line).to.be.at.most(100);
    // Every row of a Markdown table has as many cells as its head.
    for (const option of ['maxSteps', 'listLength', 'retrievers', 'denseWeight']) {
      expect(markdown, option).to.match(new RegExp(`^Options of every training.*\`${option}\``, 'm'));
    }
    const tables = markdown
      .trim()
      .split('\n\n')
      .filter((part) => part.startsWith('|'));
    expect(tables).to.have.length(4);
    for (const table of tables) {
      const cells = table.split('\n').map((row) => row.replaceAll('\\|', '').split('|').length);
      expect(new Set(cells).size, table).to.equal(1);
    }
    for (const { claim, outcome } of whole.findings) {
      expect(markdown).to.contain(`**${claim}** *${outcome}.*`);
      expect(text).to.contain(outcome.toUpperCase());
    }
  });

  it('is a page of its own without scripts, with a plot for each table and measure', () => {
    const page = readFileSync(place('study.html'), 'utf8');
    expect(page.match(/<svg role="img" aria-label="[^"]+"/g)).to.have.length(6);
    expect(page).to.not.match(/<(script|link|img|iframe|object|base)\b/i);
    for (const { claim } of whole.findings) expect(page).to.contain(claim.replaceAll("'", '&#39;'));
    for (const name of ['losses', 'types', 'sources', 'trainings', 'run']) expect(page).to.contain(`id="${name}"`);
  });

  describe('in a browser', () => {
    let browser: Browser;
    before(async function () {
      browser = await startChromium(this);
    });
    after(() => browser?.close());

    for (const viewport of [
      { width: 1200, height: 900 },
      { width: 360, height: 740 },
    ]) {
      it(`is accessible, quiet and no wider than a window of ${viewport.width}`, async () => {
        const { page, problems } = await openPage(browser, place('study.html'), { viewport });
        expect(await violations(page)).to.deep.equal([]);
        const [width, room] = (await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')) as number[];
        expect(width).to.be.at.most(room!);
        expect(problems).to.deep.equal([]);
        await screenshot(page, `study-${viewport.width}`);
        await page.close();
      });
    }

    it('shows hostile names of model, types and test set as text', async () => {
      const { variants, tables } = whole;
      const named = (text: string): StudyFacts => ({
        ...{ ...whole, model: text, test: { ...whole.test, name: text } },
        ...{ leftOut: [{ variant: text, reason: text }], versions: { listwise: '1' } },
        tables: tables.map((one) => ({
          ...one,
          rows: one.rows.map((row, i) => (i === 0 ? { ...row, label: text } : row)),
        })),
        variants: variants.map((one) => ({ ...one, label: text })),
      });
      for (const text of HOSTILE) {
        const file = join(temporaryDirectory(), 'hostile.html');
        writeFileSync(file, studyPage(named(text)));
        const { page, problems } = await openPage(browser, file, { viewport: { width: 360, height: 740 } });
        await expectHarmless({ page, problems }, 'study of listwise');
        await page.close();
      }
    });

    it('prints without cutting a table off', async () => {
      const { page } = await openPage(browser, place('study.html'), { viewport: PAPER });
      await page.emulateMedia({ media: 'print' });
      expect(await clipped(page)).to.deep.equal([]);
      await screenshot(page, 'study-print');
      await page.close();
    });
  });
});

describe('listwise study', () => {
  before(haveStudy);

  it('does as the function does, and writes tables for people or one object of JSON', async () => {
    const config = join(temporaryDirectory(), 'study.json');
    writeFileSync(config, JSON.stringify(wholeOptions));
    const { code, stdout, stderr } = await runCommand('study', '--config', config);
    expect(code).to.equal(0);
    expect(stderr).to.contain('train.only-web.1: done before');
    expect(stdout).to.contain('Types of queries, equal numbers').and.to.contain('only-title');
    expect(stdout).to.contain(`report: ${whole.report}`);
    const json = await runCommand('study', '--config', config, '--json', '--variants', 'losses,human');
    const { tables, report } = JSON.parse(json.stdout) as Study;
    expect(tables.map(({ id, rows }) => [id, rows.length])).to.deep.equal([
      ['losses', 3],
      ['sources', 2],
    ]);
    expect(report).to.equal(whole.report);
    const plan = await runCommand('study', '--config', config, '--dry-run', '--max-steps', '2');
    expect(plan.stdout).to.match(/train\.both\.1 +is done again: 2 steps/);
    expect(plan.stdout).to.contain('lost without --yes: train.both.1 is done again, and after it test.both.1');
    const lost = await runCommand('study', '--config', config, '--max-steps', '2');
    expect(lost.code).to.equal(4);
    expect(lost.stderr).to.contain('Add --yes to agree');
  });
});

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { readRunFacts } from '../lib/report/facts.js';
import { adviceOf, findingsOf } from '../lib/report/findings.js';
import { LABELS, type Loss } from '../lib/report/funnel.js';
import { reportPage } from '../lib/report/page.js';
import { intervalPlot } from '../lib/report/plots.js';
import { writeReport } from '../lib/report/report.js';
import type { EvaluationResult } from '../lib/specialize/evaluation-stage.js';
import type { Promotion } from '../lib/specialize/promotion-stage.js';
import { specialize } from '../lib/specialize/specialize.js';
import { clipped, expectHarmless, openPage, PAPER, screenshot, startChromium, violations } from './chromium.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { HOSTILE } from './hostile.js';
import { rejection } from './rejection.js';
import { PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

describe('report', function () {
  this.timeout(60_000);
  let directory: string;

  before(async () => {
    const judged = Array.from({ length: PASSAGES }, (_, i) => i);
    const collection = writeCollection({ judged });
    const guards = [writeCollection({ judged, seed: 9 })];
    const options = tinyRun({ collection, model: writeTinyModel(), data: collection, guards, by: 'metadata.kind' });
    ({ directory } = await specialize({ ...options, maxSteps: 6, evaluateEvery: 2 }));
  });

  const edit = <T>(name: string, change: (value: T) => void) => {
    const file = join(directory, name);
    const value = JSON.parse(readFileSync(file, 'utf8')) as T;
    change(value);
    writeFileSync(file, JSON.stringify(value));
  };

  describe('writeReport', () => {
    it('is written by specialize, and again the same from the files alone', async () => {
      const first = readFileSync(join(directory, 'report.html'), 'utf8');
      expect(await writeReport(directory)).to.equal(join(directory, 'report.html'));
      expect(readFileSync(join(directory, 'report.html'), 'utf8')).to.equal(first);
    });

    it('says what the run found, for each query type, measure and guard set', async () => {
      const page = readFileSync(join(directory, 'report.html'), 'utf8');
      const facts = await readRunFacts(directory);
      for (const { measure, value } of facts.evaluation!.comparison.differences) {
        expect(page).to.contain(measure).and.to.contain(value.toFixed(4));
      }
      expect(facts.funnel.map(({ type }) => type)).to.deep.equal(['title', 'web']);
      for (const { steps } of facts.funnel) {
        expect(steps[0]).to.deep.equal({ label: 'written', queries: PASSAGES });
        for (const [i, { queries }] of steps.entries()) expect(queries).to.be.at.most(steps[i - 1]?.queries ?? queries);
      }
      const { train, dev } = facts.stages.find(({ name }) => name === 'lists')!.counts as Record<string, number>;
      const left = facts.funnel.reduce((sum, { steps }) => sum + steps.at(-1)!.queries, 0);
      expect(left).to.equal(train! + dev!);
      expect(facts.scores!.counts.sources).to.be.above(PASSAGES);
      expect(facts.scores!.sources.reduce((sum, share) => sum + share, 0)).to.be.closeTo(1, 1e-9);
      expect(facts.steps).to.have.length(6);
      expect(facts.points).to.have.length(PASSAGES);
      for (const id of ['results', 'queries', 'kinds', 'changes', 'funnel', 'teacher', 'training', 'run']) {
        expect(page).to.contain(`id="${id}"`);
      }
      expect(page.match(/<svg role="img" aria-label="[^"]+"/g)).to.have.length(8);
    });

    it('says what was run: options, versions, hashes, times and costs', async () => {
      const page = readFileSync(join(directory, 'report.html'), 'utf8');
      const { stages } = await readRunFacts(directory);
      const training = stages.find(({ name }) => name === 'training')!;
      const text = page.replaceAll(/<[^>]+>/g, '|');
      expect(text)
        .to.match(/training\|+maxSteps\|+6\|/)
        .and.to.match(/training\|+learningRate\|+0.001\|/);
      expect(text).to.contain(`With listwise ${training.versions['listwise']}, `);
      expect(training.inputs['model']).to.match(/^[0-9a-f]{64}$/);
      expect(text).to.match(new RegExp(`training\\|+model\\|+${training.inputs['model']!.slice(0, 16)}\\|`));
      expect(text).to.match(
        new RegExp(`training\\|+[\\d.]+ (s|min \\d+ s)\\|+${training.started.slice(0, 16).replace('T', ' ')}\\|`),
      );
      expect(text).to.contain('No language model and no server was asked');
      const [{ pTTestHolm }] = JSON.parse(readFileSync(join(directory, 'evaluation', 'comparison.json'), 'utf8'))
        .comparison.differences;
      expect(text)
        .to.contain(pTTestHolm < 0.0001 ? '&lt; 0.0001' : pTTestHolm.toFixed(4))
        .and.to.contain('|p t-test|');
    });

    it('is one file that names no other: no script, no link, no image', () => {
      const page = readFileSync(join(directory, 'report.html'), 'utf8');
      expect(page).to.not.match(/<(script|link|img|iframe|object|base)\b/i);
      expect(page).to.not.match(/\s(style|on\w+|src)=/i);
      expect(page).to.contain('default-src &#39;none&#39;');
    });

    it('reports a run that is not complete, and refuses what is no run', async () => {
      const collection = writeCollection();
      const half = tinyRun({ collection, model: writeTinyModel(), until: 'lists' });
      await specialize(half);
      const page = readFileSync(await writeReport(half.output), 'utf8');
      expect(page).to.contain('there is no verdict yet').and.to.contain('id="funnel"');
      const empty = temporaryDirectory();
      const error = await rejection(writeReport(empty));
      expect(error.message).to.equal(
        `Expected the directory of a run, with a manifest.json of complete stages, at ${empty} but there is none; give ` +
          'the --output of `listwise specialize`.',
      );
      const file = await rejection(writeReport(join(half.output, 'lists.dev.jsonl')));
      expect(file.message).to.contain('manifest.json of complete stages').and.to.contain('but there is none');
    });
  });

  it('plots what training measured on queries of people, where it did', async () => {
    const facts = await readRunFacts(directory);
    expect(reportPage(facts)).to.not.contain('on queries that people judged, over a part');
    const human = { 'nDCG@10': 0.5, queries: 10, passages: 50 };
    const evaluations = facts.evaluations.map((one) => ({ ...one, human }));
    const page = reportPage({ ...facts, evaluations });
    expect(page).to.contain('nDCG@10 on queries that people judged, over a part of the corpus');
    expect(page.match(/<svg role="img"/g)).to.have.length(9);
  });

  describe('findingsOf and adviceOf', () => {
    it('say whether the gain is real, how large it is, and for whom', async () => {
      const facts = await readRunFacts(directory);
      const titles = findingsOf(facts).map(({ title }) => title);
      expect(titles[0]).to.equal('The gain is real.');
      expect(titles[1]).to.match(/^nDCG@10 went from 0\.\d{4} to 0\.\d{4}\.$/);
      expect(titles.slice(2)).to.have.length(2);
      const promotion = facts.promotion as Promotion;
      const verdict = { ...promotion.verdict, outcome: 'worse' as const };
      const worse = findingsOf({ ...facts, promotion: { ...promotion, promoted: false, verdict } });
      expect(worse[0]).to.include({ tone: 'bad', title: 'Training made the model worse.' });
    });

    it('say how many queries would show a gain of the measured size', async () => {
      const facts = await readRunFacts(directory);
      const promotion = facts.promotion as Promotion;
      const undecided = { ...promotion, verdict: { ...promotion.verdict, outcome: 'undecided' as const } };
      // Mean 0.01 and standard deviation 0.1: (1.96 + 0.84)² · 0.01 / 0.0001 = 784 queries.
      const points = Array.from({ length: 100 }, (_, i) => ({
        ...{ query: `q${i}`, base: 0.5, trained: 0.51 + (i % 2 ? 1 : -1) * 0.1 * Math.sqrt(0.99) },
      }));
      const [advice] = adviceOf({ ...facts, promotion: undecided, points, evaluations: [], funnel: [] });
      expect(advice).to.equal(
        'If the true gain is as large as the one measured, about 784 test queries would show it in four of five tests; ' +
          'there are 100.',
      );
    });
  });

  describe('in a browser', () => {
    let browser: Browser;
    before(async function () {
      browser = await startChromium(this);
    });
    after(() => browser?.close());

    const open = (file: string, options: BrowserContextOptions = {}) => openPage(browser, file, options);
    const SCREENS: Record<string, BrowserContextOptions> = {
      'a desktop': { viewport: { width: 1200, height: 900 } },
      'a phone': { viewport: { width: 360, height: 740 } },
      'the dark': { viewport: { width: 1200, height: 900 }, colorScheme: 'dark' },
    };

    for (const [name, options] of Object.entries(SCREENS)) {
      it(`is accessible, quiet and no wider than the window on ${name}`, async () => {
        const { page, problems } = await open(join(directory, 'report.html'), options);
        expect(await violations(page)).to.deep.equal([]);
        const [width, room] = (await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')) as number[];
        expect(width).to.be.at.most(room!);
        expect(problems).to.deep.equal([]);
        await screenshot(page, `report-${name.split(' ')[1]}`);
        await page.close();
      });
    }

    it('shows hostile text as text: nothing runs, loads, hides the page or makes it wider', async () => {
      const original = readFileSync(join(directory, 'evaluation', 'comparison.json'), 'utf8');
      edit<EvaluationResult>('evaluation/comparison.json', ({ comparison }) => {
        const [first] = comparison.differences;
        first!.gained = HOSTILE.map((text, i) => ({
          ...first!.gained[0]!,
          ...{ query: text.slice(0, 2000), text, group: text },
          before: [{ id: text, grade: null, title: text, text }],
          after: [{ id: `${i}`, grade: 1, title: '', text }],
        }));
        first!.groups = HOSTILE.map((group) => ({ ...first!.groups![0]!, group }));
        comparison.by = HOSTILE[1]!;
        comparison.sets[0]!.name = HOSTILE[0]!;
      });
      try {
        const file = await writeReport(directory);
        // Texts are cut: the page is a few times as long as without them, and no book.
        expect(readFileSync(file, 'utf8').length).to.be.below(400_000);
        const { page, problems } = await open(file, { viewport: { width: 360, height: 740 } });
        expect(await page.title()).to.contain('report of listwise');
        expect(await page.isVisible('main')).to.equal(true);
        expect(await page.textContent('#changes ~ article h4')).to.equal(HOSTILE[0]);
        expect(await page.locator('article.example script, article.example img, body style').count()).to.equal(0);
        const [width, room] = (await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')) as number[];
        expect(width).to.be.at.most(room!);
        expect(await violations(page)).to.deep.equal([]);
        expect(problems).to.deep.equal([]);
        await page.close();
      } finally {
        writeFileSync(join(directory, 'evaluation', 'comparison.json'), original);
        await writeReport(directory);
      }
    });

    it('has a policy that stops scripts and styles, should any text ever get through', async () => {
      const page_ = reportPage(await readRunFacts(directory));
      const attack =
        '<script>document.title = "owned"</script><style>main { display: none }</style><img src="https://x.invalid/">';
      const file = join(temporaryDirectory(), 'attacked.html');
      writeFileSync(file, page_.replace('<main>', `<main>${attack}`));
      const { page, problems } = await open(file);
      expect(await page.title()).to.not.equal('owned');
      expect(await page.isVisible('main')).to.equal(true);
      expect(problems.filter((problem) => problem.includes('Content Security Policy')).length).to.be.at.least(3);
      await page.close();
    });

    it('shows hostile names of the model, of types of queries and of teachers as text', async () => {
      const facts = await readRunFacts(directory);
      const steps = facts.funnel[0]!.steps;
      const asked = HOSTILE.map((teacher) => ({ teacher, requests: 1, pairs: 1, tokens: 1 }));
      const stages = facts.stages.map((one) => (one.name === 'teacher' ? { ...one, counts: { asked } } : one));
      const funnel = [...HOSTILE, '$& $` $1'].map((type) => ({ type, steps }));
      for (const model of HOSTILE) {
        const file = join(temporaryDirectory(), 'hostile.html');
        writeFileSync(file, reportPage({ ...facts, model, stages: stages as typeof facts.stages, funnel }));
        const { page, problems } = await open(file, { viewport: { width: 360, height: 740 } });
        await expectHarmless({ page, problems }, 'report of listwise');
        if (model === HOSTILE[0]) {
          expect(await page.locator('#funnel ~ .scroll thead th').allTextContents()).to.include.members([
            HOSTILE[0],
            '$& $` $1',
          ]);
          expect(await violations(page)).to.deep.equal([]);
          await screenshot(page, 'report-hostile');
        }
        await page.close();
      }
    });

    it('keeps a label of a plot as it is, whatever patterns it has', () => {
      const rows = [{ ...DIFFERENCE, name: 'only $& and $`' }];
      expect(intervalPlot('of $& and $` by "$1"', rows).text).to.match(
        /^<svg role="img" aria-label="of \$&amp; and \$` by &quot;\$1&quot;" /,
      );
    });

    it('prints all of it, and cuts no table off', async () => {
      const facts = await readRunFacts(directory);
      // Every reason that there is takes a few queries, so that the funnel is as wide as it can be.
      const steps = Object.entries(LABELS).map(([loss, label], i) => ({
        label,
        loss: loss as Loss,
        queries: 99_990 - i,
      }));
      const funnel = ['question', 'claim', 'title'].map((type) => ({
        type,
        steps: [{ label: 'asked for or given', queries: 100_000 }, ...steps],
      }));
      const file = join(temporaryDirectory(), 'wide.html');
      writeFileSync(file, reportPage({ ...facts, funnel }));
      const { page } = await open(file, { viewport: PAPER });
      await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
      expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).to.equal('rgb(255, 255, 255)');
      expect(await page.isVisible('nav')).to.equal(false);
      expect(await clipped(page)).to.deep.equal([]);
      expect((await page.pdf({ format: 'A4' })).length).to.be.above(20_000);
      await screenshot(page, 'report-print');
      await page.close();
    });
  });
});

const DIFFERENCE = {
  ...{ queries: 5, base: 0.4, value: 0.5, difference: 0.1, interval: { low: 0.05, high: 0.15 } },
  ...{ wins: 3, ties: 1, losses: 1 },
};

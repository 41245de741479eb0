import { createHash } from 'node:crypto';
import type { RunFacts } from './facts.js';
import { adviceOf, findingsOf, shortName } from './findings.js';
import { foreign, html, type Markup } from './html.js';
import { resultSections } from './result-sections.js';
import { runSections } from './run-sections.js';
import { STYLE } from './style.js';

/** A part of the page: its heading, and what the navigation calls it. */
export interface Section {
  id: string;
  title: string;
  body: Markup;
}

/** What a page is made of. Plain text is escaped. */
export interface PageParts {
  title: string;
  heading: Markup;
  /** Below the heading. */
  lead: Markup;
  sections: readonly Section[];
  /** Before the first section. */
  before: Markup;
  footer: Markup;
}

/**
 * A page, whole and self-contained: no script, no network, and a policy that forbids both, so that nothing which a
 * passage or a query says can act. Styles are one sheet, allowed by its hash.
 */
export function framePage({ title, heading, lead, sections, before, footer }: PageParts): string {
  const hash = createHash('sha256').update(STYLE).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  const head = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>`.text;
  const rest = html`</style>
</head>
<body>
<header>
<h1>${heading}</h1>
<p class="soft">${lead}</p>
${navigation(sections)}
</header>
<main>
${before}
${sections.map(({ id, title, body }) => html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>${body}</section>`)}
</main>
<footer><p>${footer}</p></footer>
</body>
</html>
`.text;
  return head + STYLE + rest;
}

/** What a model is called on a page: a Hub name as it is, of a path its last part. */
export function modelName(model: string): string {
  return /^[\w.-]+\/[\w.-]+$/.test(model) ? model : shortName(model);
}

/** The page of a run. */
export function reportPage(facts: RunFacts): string {
  const model = modelName(facts.model);
  return framePage({
    title: `${model}, specialised: report of listwise`,
    heading: html`${foreign(model, 80)}, specialised`,
    lead: html`A run of listwise ${facts.stages[0]?.versions['listwise']}, ${when(facts)}.`,
    sections: [...resultSections(facts), ...runSections(facts)],
    before: html`${verdictBanner(facts)}
${findings(facts)}`,
    footer: html`Made by listwise from <code>${foreign(shortName(facts.directory))}</code>; <code>listwise report</code> makes it again.`,
  });
}

function navigation(sections: readonly Section[]): Markup {
  const links = sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`);
  return html`<nav aria-label="Sections"><ul>${links}</ul></nav>`;
}

function verdictBanner({ promotion }: RunFacts): Markup {
  if (!promotion) return html`<p class="verdict">The run has not come to its end, so there is no verdict yet.</p>`;
  const { promoted, verdict, objections } = promotion;
  const tone = promoted ? 'good' : verdict.outcome === 'worse' ? 'bad' : '';
  const says = promoted
    ? html`<strong>Promoted.</strong> <code>model/</code> is the trained model.`
    : html`<strong>Not promoted.</strong> <code>model/</code> is the base model: ${objections.join(', and ')}.`;
  return html`<div class="verdict ${tone}"><p>${says}</p><p>${verdict.text}</p></div>`;
}

function findings(facts: RunFacts): Markup {
  const found = findingsOf(facts);
  const advice = adviceOf(facts);
  return html`${
    found.length > 0 &&
    html`<section aria-labelledby="findings"><h2 id="findings">What it means</h2>
<ul class="findings">${found.map(({ tone, title, text }) => html`<li class="${tone}"><strong>${title}</strong> ${text}</li>`)}</ul></section>`
  }
${
  advice.length > 0 &&
  html`<section aria-labelledby="advice"><h2 id="advice">What to try next</h2>
<ul>${advice.map((text) => html`<li>${text}</li>`)}</ul></section>`
}`;
}

function when({ stages }: RunFacts): string {
  const last =
    stages
      .map(({ started }) => started)
      .sort()
      .at(-1) ?? '';
  const seconds = stages.reduce((sum, stage) => sum + (stage.seconds ?? 0), 0);
  return `last stage begun ${last.slice(0, 16).replace('T', ' ')} UTC, ${duration(seconds)} of work in all`;
}

/** Seconds in words: '48 s', '4 min 18 s', '2 h 5 min'. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** The page's one style sheet: screen and phone, light and dark, print. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c2024; --soft: #575e66; --line: #dfe3e8; --panel: #f5f7f9;
  --base: #74808c; --gain: #0b7a4b; --loss: #b3341f; --accent: #2457c5;
  --good-panel: #e6f5ed; --bad-panel: #fcebe8; --neutral-panel: #eef1f5;
  --type-1: #0072b2; --type-2: #e69f00; --type-3: #009e73; --type-4: #cc79a7;
  --type-5: #56b4e9; --type-6: #d55e00; --type-7: #8c6d31; --type-8: #808890;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e8eaed; --soft: #a9b1ba; --line: #333a42; --panel: #1d2126;
    --base: #97a3b0; --gain: #4fc98c; --loss: #ff8f7a; --accent: #86aaff;
    --good-panel: #10291d; --bad-panel: #331a16; --neutral-panel: #1f252c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere;
}
main, header, footer { max-width: 66rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 3rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.75rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption, .facts dt, th { color: var(--soft); }
.soft { font-size: .92rem; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; margin: 1.25rem 0 0; }
.verdict { border-radius: .6rem; padding: 1rem 1.25rem; margin: 1.5rem 0; border-left: .35rem solid var(--base); background: var(--neutral-panel); }
.verdict p { max-width: none; }
.verdict strong { font-size: 1.15rem; }
.good { border-color: var(--gain); background: var(--good-panel); }
.bad { border-color: var(--loss); background: var(--bad-panel); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.25rem 0; padding: 0; }
.tiles div { background: var(--panel); border-radius: .5rem; padding: .75rem 1rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.4rem; font-variant-numeric: tabular-nums; line-height: 1.3; }
.tiles dd small { display: block; font-size: .82rem; color: var(--soft); }
ul.findings { list-style: none; padding: 0; display: grid; gap: .6rem; }
ul.findings li { border-left: .25rem solid var(--base); padding: .1rem 0 .1rem .9rem; max-width: 46rem; }
ul.findings li.good { background: none; border-color: var(--gain); }
ul.findings li.bad { background: none; border-color: var(--loss); }
figure { margin: 1.25rem 0; }
figcaption { font-size: .9rem; margin-bottom: .5rem; max-width: 46rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 38rem; font-size: 13px; }
svg text { white-space: pre; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1.5rem; align-items: start; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: normal; }
th { font-weight: 600; }
td.text { overflow-wrap: anywhere; min-width: 5.5rem; }
.number { text-align: right; white-space: nowrap; }
.gain { color: var(--gain); } .loss { color: var(--loss); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .2em; vertical-align: -.05em; }
.key.accent { background: var(--accent); } .key.base { background: var(--base); }
${Array.from({ length: 8 }, (_, i) => `.key.type-${i + 1} { background: var(--type-${i + 1}); }`).join('\n')}
.example { border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1.1rem; margin: .9rem 0; break-inside: avoid; }
.example h4 { margin: 0 0 .3rem; font-size: 1rem; font-weight: 600; }
.example ol { margin: .2rem 0 0; padding-left: 1.3rem; font-size: .92rem; }
.example li { margin: .35rem 0; }
.example h5 { margin: .6rem 0 0; font-size: .85rem; color: var(--soft); font-weight: 600; }
.grade { font-size: .78rem; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .45rem; white-space: nowrap; }
code, .code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .86em; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: .88rem; padding-bottom: 3rem; margin-top: 3rem; }
@media (max-width: 34rem) {
  header { padding-top: 1.5rem; }
  h1 { font-size: 1.5rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  figure svg { font-size: 16px; }
}
@media print {
  :root {
    --paper: #ffffff; --ink: #000000; --soft: #444444; --line: #cccccc; --panel: #f4f4f4;
    --base: #667079; --gain: #0b6b42; --loss: #a12c18; --accent: #1f4cad;
    --good-panel: #f0f7f3; --bad-panel: #fbf0ee; --neutral-panel: #f3f4f6;
  }
  body { font-size: 10.5pt; }
  main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  nav { display: none; }
  .key, .verdict, .tiles div { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, .tiles, tr, .verdict { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  /* Paper does not scroll: numbers may wrap, and words break, before a column is cut off. */
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td, td.text { padding-right: .4rem; min-width: 0; overflow-wrap: anywhere; }
  thead th { overflow-wrap: normal; }
  .wide thead th { overflow-wrap: anywhere; hyphens: auto; }
  .number { white-space: normal; }
}
`;

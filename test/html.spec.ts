import { expect } from 'chai';
import { escapeHtml, foreign, html, plain } from '../lib/report/html.js';

describe('html', () => {
  it('escapes values and keeps markup, and drops what HTML does not allow', () => {
    expect(html`<b>${'<i>"&\''}</b>${html`<br>`}${[1, undefined, false]}`.text).to.equal(
      '<b>&lt;i&gt;&quot;&amp;&#39;</b><br>1',
    );
    expect(escapeHtml('a\u0000\u0007b\nc\u202ed\ud800')).to.equal('ab cd\ufffd');
  });

  it('cuts long text between characters', () => {
    expect(foreign('😀'.repeat(50), 10).text).to.equal(`<bdi>${'😀'.repeat(10)}…</bdi>`);
    expect(foreign('short').text).to.equal('<bdi>short</bdi>');
  });

  it('makes one short line of text that stands in a sentence or a plot', () => {
    expect(plain('a\u202eb\n\tc  d\ud800')).to.equal('a b c d\ufffd');
    expect(plain('x'.repeat(100_000), 5)).to.equal('xxxxx…');
  });
});

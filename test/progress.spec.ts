import { expect } from 'chai';
import { duration, progressDisplay } from '../lib/progress.js';

describe('progressDisplay', () => {
  it('writes a line at once, then every five seconds, with rate and time left', () => {
    let now = 0;
    let text = '';
    const display = progressDisplay({ write: (line: string) => (text += line) }, () => now);
    for (let done = 0; done <= 1200; done += 100) {
      display.show({ stage: 'encoding', done, total: 1200, unit: 'passages' });
      now += 1000;
    }
    expect(text.split('\n')).to.deep.equal([
      'encoding: 0 of 1,200 passages (0 %)',
      'encoding: 500 of 1,200 passages (41 %); 100/s, 7 s left',
      'encoding: 1,000 of 1,200 passages (83 %); 100/s, 2 s left',
      '',
    ]);
  });

  it('starts the rate anew when the same stage counts something else', () => {
    let now = 0;
    let text = '';
    const display = progressDisplay({ write: (line: string) => (text += line) }, () => now);
    display.show({ stage: 'encoding', done: 100, total: 100, unit: 'passages' });
    now = 60_000;
    display.show({ stage: 'encoding', done: 0, total: 50, unit: 'queries' });
    now = 70_000;
    display.show({ stage: 'encoding', done: 10, total: 50, unit: 'queries', note: 'slow' });
    expect(text).to.include('encoding: 10 of 50 queries (20 %); 1/s, 40 s left; slow');
  });

  it('gives seconds for one where one takes longer than that', () => {
    let now = 0;
    let text = '';
    const display = progressDisplay({ write: (line: string) => (text += line) }, () => now);
    display.show({ stage: 'training', done: 0, total: 6, unit: 'steps' });
    now = 90_000;
    display.show({ stage: 'training', done: 2, total: 6, unit: 'steps' });
    expect(text).to.include('training: 2 of 6 steps (33 %); 45 s each, 3 min 0 s left');
  });

  it('says what was spent, in tokens and money', () => {
    let text = '';
    const display = progressDisplay({ write: (line: string) => (text += line) }, () => 0);
    display.show({ stage: 'queries', done: 3, total: 10, unit: 'queries', tokens: 12_345, cost: 0.354, note: 'slow' });
    expect(text).to.equal('queries: 3 of 10 queries (30 %); 12,345 tokens, cost 0.35; slow\n');
  });

  /** A terminal of 60 columns, and what was drawn in each place, by its stage. */
  function terminal() {
    let text = '';
    const stream = { write: (line: string) => (text += line), isTTY: true, columns: 60, on: () => {}, once: () => {} };
    const escapes = new RegExp(`${String.fromCharCode(27)}(?:\\[[\\d?]*[a-zA-Z]|\\d)`);
    return { stream, drawn: (stage: string) => text.split(escapes).filter((part) => part.includes(stage)) };
  }

  it('draws a bar no wider than the terminal, with megabytes for bytes', () => {
    let now = 0;
    const { stream, drawn } = terminal();
    const display = progressDisplay(stream, () => now);
    display.show({ stage: 'download', done: 0, total: 20_000_000, unit: 'bytes' });
    now = 2000;
    display.show({ stage: 'download', done: 10_000_000, total: 20_000_000, unit: 'bytes', note: 'x'.repeat(100) });
    display.end();
    expect(drawn('download').at(-1)).to.match(/^download █{12}░{12} {2}50 % {2}10\/20 MB {2}5\.0/);
    for (const line of drawn('download')) expect(line.trim().length).to.be.below(60);
  });

  it('draws no bar where nobody knows how much there is', () => {
    let now = 0;
    const { stream, drawn } = terminal();
    const display = progressDisplay(stream, () => now);
    display.show({ stage: 'corpus', done: 0, total: 0, unit: 'passages' });
    now = 2000;
    display.show({ stage: 'corpus', done: 5000, total: 0, unit: 'passages' });
    display.end();
    expect(drawn('corpus').at(-1)!.trim()).to.equal('corpus: 5,000 passages  2,500/s');
  });
});

describe('duration', () => {
  it('is short at every size', () => {
    expect([0.4, 59.4, 60, 200, 7500].map(duration)).to.deep.equal([
      '0 s',
      '59 s',
      '1 min 0 s',
      '3 min 20 s',
      '2 h 5 min',
    ]);
  });
});

import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { STAGES } from '../lib/specialize/stages.js';

/** The whole of it trains for minutes; what it would stumble over first is a stage that it has no words for. */
describe('the quickstart', () => {
  it('has a sentence for each stage', () => {
    const program = readFileSync(new URL('../examples/cranfield/quickstart.js', import.meta.url), 'utf8');
    const sentences = program.slice(program.indexOf('const describe = {'), program.indexOf('\n};\n'));
    for (const stage of STAGES) expect(sentences).to.match(new RegExp(`^ {2}${stage}: \\(`, 'm'));
  });
});

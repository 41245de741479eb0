import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { writeQueries } from '../lib/queries/write-queries.js';
import { temporaryDirectory } from './helpers.js';
import { FAULTS, randomFaults, startLlmServer } from './servers/llm.js';

describe('writeQueries over 5,000 requests of which 30 % go wrong', function () {
  this.timeout(600_000);

  it('has every query once, in the order and with the content of a run without faults', async () => {
    await using calm = await startLlmServer();
    // Silence costs seconds each time, so it is rarer than the others.
    const others = FAULTS.filter((kind) => kind !== 'silence');
    const kinds = [...others, ...others, ...others, 'silence' as const];
    await using rough = await startLlmServer({ fault: randomFaults(0.3, kinds) });
    const given = { corpus: fileURLToPath(new URL('../examples/cranfield', import.meta.url)), maxPassages: 834 };
    const asking = { llmModel: 'writer', llmBackoff: 0.002, llmRetries: 30, llmConcurrency: 40 };
    const run = (llmBaseUrl: string, llmTimeout: number) =>
      writeQueries({ ...given, ...asking, llmBaseUrl, llmTimeout, output: join(temporaryDirectory(), 'queries') });
    const one = await run(calm.url, 60);
    const two = await run(rough.url, 3);
    expect(calm.requests).to.have.length(5004);
    expect(two.written).to.equal(one.written).and.to.be.above(4950);
    expect(two.failed).to.deep.equal(one.failed);
    expect(readFileSync(two.queries, 'utf8')).to.equal(readFileSync(one.queries, 'utf8'));
    expect(rough.requests.length).to.be.above(6800);
    expect(two.retries).to.equal(rough.requests.length - 5004);
    expect(rough.answered.size).to.equal(5004);
    expect(Math.max(...rough.answered.values()), 'answers to the same question').to.equal(1);
  });
});

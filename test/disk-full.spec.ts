import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { writeTinyModel } from './helpers.js';
import { expectSameFiles, runInProcess } from './killed-run.js';
import { tinyRun, writeCollection } from './tiny-run.js';

describe('specialize, where files cannot be written', function () {
  this.timeout(300_000);

  before(function () {
    // The system refuses what goes over the limit as it refuses what goes over a full disk, by an error of write().
    if (process.platform === 'win32') this.skip();
  });

  it('says which file and why, leaves nothing half-written, and goes on when there is room', async () => {
    const collection = writeCollection();
    // So few candidates that the weights are the largest file.
    const few = { depth: 12, maxSourceRank: 12, minCandidates: 8, maxPassages: 30 };
    const options = tinyRun({ collection, model: writeTinyModel(), data: collection, ...few });
    const weights = Math.floor(statSync(join(options.model, 'model.safetensors')).size / 1024);
    const failed: string[] = [];
    // In units of 1,024 bytes: the limit meets small files, embeddings, and weights, which C++ writes.
    for (const limit of [2, 20, weights - 4]) {
      const { lines } = await runInProcess(options, {}, `ulimit -f ${limit}`);
      const [, failure] = /^failed (.*)$/.exec(lines.at(-1)!) ?? expect.fail(lines.slice(-12).join('\n'));
      const { code, message } = JSON.parse(failure!);
      expect(code, message).to.equal('NOT_WRITABLE');
      expect(message).to.match(
        /^Cannot write \S+: (the file is larger than the file system or the process limit|File too large;)/,
      );
      failed.push(/Cannot write (\S+):/.exec(message)![1]!.slice(options.output.length + 1));
      const left = readdirSync(options.output, { recursive: true }).filter((name) => /\.tmp\b/.test(String(name)));
      expect(left).to.deep.equal([]);
    }
    expect(failed[0]).to.match(/^partial\/embeddings-/);
    expect(failed[2]).to.match(/^training\/.*\bmodel\.safetensors/);
    expect((await runInProcess(options)).lines.at(-1)).to.equal('complete');
    const whole = tinyRun({ collection, model: options.model, data: collection, ...few });
    await runInProcess(whole);
    expectSameFiles(options.output, whole.output);
  });
});

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { pushCommand } from '../lib/cli/push.js';
import { readModelDirectory } from '../lib/models/directory.js';
import { planPush, pushModel } from '../lib/models/push.js';
import { writeCard } from '../lib/report/card.js';
import { readRunFacts } from '../lib/report/facts.js';
import { specialize } from '../lib/specialize/specialize.js';
import { skipWithoutPython } from './environment.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { startWritableHub, type WritableHub } from './servers/hub-write.js';
import { PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

const VARIABLES = ['HF_HOME', 'HF_ENDPOINT', 'HF_TOKEN', 'HF_HUB_OFFLINE'];

const COMMIT = '0123456789abcdef0123456789abcdef01234567';

describe('push and cards', function () {
  this.timeout(60_000);
  let promoted: string;
  let kept: string;
  before(async () => {
    const judged = Array.from({ length: PASSAGES }, (_, i) => i);
    const collection = writeCollection({ judged });
    const home = temporaryDirectory();
    // A local directory whose name could be one on the Hub, and the same model in the Hub's cache.
    const tiny = writeTinyModel();
    cpSync(tiny, join(home, 'models', 'mine'), { recursive: true });
    const cached = join(home, 'hf', 'hub', 'models--me--base');
    cpSync(tiny, join(cached, 'snapshots', COMMIT), { recursive: true });
    mkdirSync(join(cached, 'refs'));
    writeFileSync(join(cached, 'refs', 'main'), COMMIT);
    const settings = { maxSteps: 12, evaluateEvery: 4, mixingShares: [], passageMaxLength: 12, queryMaxLength: 10 };
    const options = tinyRun({ collection, model: 'models/mine', data: collection, ...settings });
    const from = process.cwd();
    const { HF_HOME, HF_HUB_OFFLINE } = process.env;
    try {
      process.chdir(home);
      Object.assign(process.env, { HF_HOME: join(home, 'hf'), HF_HUB_OFFLINE: '1' });
      ({ directory: promoted } = await specialize(options));
      kept = join(temporaryDirectory(), 'kept');
      cpSync(promoted, kept, { recursive: true });
      await specialize({ ...options, model: 'me/base', output: kept, significance: 1e-9 });
    } finally {
      process.chdir(from);
      for (const [name, value] of Object.entries({ HF_HOME, HF_HUB_OFFLINE })) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });

  let hub: WritableHub | undefined;
  const earlier: Record<string, string | undefined> = {};
  const start = async (options = {}) => {
    hub = await startWritableHub(options);
    process.env.HF_ENDPOINT = hub.url;
    return hub;
  };
  beforeEach(() => {
    for (const name of VARIABLES) {
      earlier[name] = process.env[name];
      delete process.env[name];
    }
    process.env.HF_HOME = temporaryDirectory();
    process.env.HF_TOKEN = 'hf_secret';
  });
  afterEach(async () => {
    await hub?.close();
    hub = undefined;
    for (const name of VARIABLES) {
      if (earlier[name] === undefined) delete process.env[name];
      else process.env[name] = earlier[name];
    }
  });

  describe('the card', () => {
    it('tells what the run found, in Markdown and in metadata that huggingface_hub reads', function () {
      const file = join(promoted, 'model', 'README.md');
      const card = readFileSync(file, 'utf8');
      const evaluation = JSON.parse(readFileSync(join(promoted, 'evaluation', 'comparison.json'), 'utf8'));
      const [first] = evaluation.comparison.differences;
      expect(card).to.contain(`| nDCG@10 | ${first.base.toFixed(4)} | ${first.value.toFixed(4)} |`);
      expect(card).to.contain('A gain that chance alone would hardly give').and.to.contain('training: 12 steps');
      // Where things lay on the maker's machine is nobody's business.
      expect(card).to.not.contain(evaluation.comparison.sets[0].name);
      skipWithoutPython(this);
      const program =
        'import json, sys; from huggingface_hub import ModelCard; d = ModelCard.load(sys.argv[1]).data; ' +
        'print(json.dumps([d.library_name, d.pipeline_tag, d.tags, [[r.metric_type, r.metric_value] for r in d.eval_results]]))';
      const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
      const { stdout, stderr } = spawnSync(python, ['-c', program, file], { encoding: 'utf8' });
      expect(stdout, stderr).to.not.equal('');
      const [library, pipeline, tags, results] = JSON.parse(stdout);
      expect([library, pipeline]).to.deep.equal(['sentence-transformers', 'sentence-similarity']);
      expect(tags).to.include('listwise');
      expect(results[0]).to.deep.equal(['ndcg_at_10', Number(first.value.toFixed(5))]);
      expect(results).to.have.length(5);
    });

    it('of a base that was kept says that these are its own weights, and claims no results for them', () => {
      const card = readFileSync(join(kept, 'model', 'README.md'), 'utf8');
      expect(card).to.contain('These are the base model’s own weights.').and.to.not.contain('model-index');
    });
  });

  describe('the card of a base', () => {
    const cardOf = (run: string) => readFileSync(join(run, 'model', 'README.md'), 'utf8');

    it('that is a local directory names no model of the Hub, whatever the directory is called', () => {
      expect(cardOf(promoted)).to.not.contain('base_model').and.to.not.contain('huggingface.co/models');
      expect(cardOf(promoted)).to.contain('# mine, specialised').and.to.contain('\nmine, trained to search one corpus');
    });

    it('from the Hub names and links it', async () => {
      expect(cardOf(kept)).to.contain('base_model: "me/base"').and.to.contain('# base\n');
      const facts = { ...(await readRunFacts(promoted)), model: 'me/base' };
      const beside = { directory: join(promoted, 'model'), isHubBase: true, teacher: 'cross-encoder a/b_c' };
      const card = await writeCard(facts, beside);
      expect(card).to.contain('base_model: "me/base"').and.to.contain('[me/base](https://huggingface.co/me/base)');
      expect(card).to.contain('- teacher: cross-encoder a/b\\_c\n');
    });

    it('says at which length its figures were measured, and how far the model reads by itself', async () => {
      const { maxLength: own } = await readModelDirectory(join(promoted, 'model'));
      expect(own).to.be.above(12);
      expect(cardOf(promoted)).to.contain(
        'Measured with texts cut to 12 tokens (queries to 10), as in training. By itself the model reads up to ' +
          `${own} tokens: for the same results set its \`max_seq_length\` to 12.`,
      );
      expect(cardOf(promoted)).to.contain('- teacher: fused (dense and BM25 scores)\n');
    });
  });

  describe('pushModel', () => {
    it('makes the repository and uploads the model with its card in one commit', async () => {
      const { files, tokens } = await start();
      const model = join(promoted, 'model');
      const plan = await planPush(model, { repo: 'me/mine' });
      const result = await pushModel(model, { repo: 'me/mine', message: 'first' });
      expect(result).to.deep.equal({ ...plan, commit: 'abc' });
      expect(result.url).to.equal(`${hub!.url}/me/mine`);
      expect([...files.keys()].sort()).to.deep.equal(plan.files.map(({ path }) => path));
      expect(plan.files.map(({ path }) => path)).to.include.members([
        'README.md',
        'model.safetensors',
        '1_Pooling/config.json',
      ]);
      for (const [path, bytes] of files) expect(bytes.equals(readFileSync(join(model, path))), path).to.equal(true);
      expect([...tokens]).to.deep.equal(['Bearer hf_secret']);
      expect(hub!.repo).to.deep.include({ name: 'mine', organization: 'me' });
      expect(hub!.repo!.private ?? hub!.repo!.visibility === 'private').to.equal(true);
      expect(hub!.title).to.equal('first');
      expect(hub!.requests.filter((request) => request.includes('/commit/'))).to.have.length(1);
    });

    it('adds to a repository that is there', async () => {
      const { files } = await start({ exists: true });
      await pushModel(join(promoted, 'model'), { repo: 'me/mine' });
      expect(files.has('README.md')).to.equal(true);
    });

    it('says what is missing or refused, and shows no token', async () => {
      const model = join(promoted, 'model');
      await start({ status: 403 });
      const refused = await rejection(pushModel(model, { repo: 'me/mine' }));
      expect(refused.message).to.equal(
        `The Hub refuses to write to ${hub!.url}/me/mine (403); check that the token may write, and that the owner is you ` +
          'or an organisation of yours.',
      );
      delete process.env.HF_TOKEN;
      expect((await rejection(pushModel(model, { repo: 'me/mine' }))).message).to.contain(
        'set HF_TOKEN to one that may write',
      );
      const nameless = await rejection(pushModel(model, { repo: 'mine' }));
      expect(nameless.message).to.equal('Expected a name on the Hub, "owner/name", for repo but received "mine".');
      const bare = writeTinyModel();
      expect((await rejection(planPush(bare, { repo: 'me/mine' }))).message).to.contain('has no README.md');
    });

    it('uploads nothing that is no part of a model', async () => {
      const model = join(temporaryDirectory(), 'model');
      cpSync(join(promoted, 'model'), model, { recursive: true });
      for (const name of ['.env', 'notes.py', 'model.safetensors.12.tmp', 'weights.bin'])
        writeFileSync(join(model, name), 'x');
      const { files } = await planPush(model, { repo: 'me/mine' });
      expect(files.map(({ path }) => path)).to.deep.equal(
        readdirSync(join(promoted, 'model'), { recursive: true, encoding: 'utf8' })
          .filter((path) => path.includes('.'))
          .sort(),
      );
      rmSync(model, { recursive: true });
    });
  });

  describe('listwise push', () => {
    const session = (answer: boolean | undefined) => {
      const asked: string[] = [];
      const nothing = () => {};
      const ask = async (question: string) => {
        asked.push(question);
        return answer;
      };
      const signal = new AbortController().signal;
      return { asked, session: { say: nothing, detail: nothing, ask, signal, onProgress: nothing } };
    };

    it('asks first, and uploads only after a yes', async () => {
      const { files } = await start();
      const no = session(false);
      const refused = await pushCommand.run({ repo: 'me/mine' }, no.session, [promoted]);
      expect(refused).to.include({ exitCode: 1, text: 'Nothing was uploaded.' });
      expect(no.asked[0]).to.match(/^Upload these \d+ files \(.*\) to http.*\/me\/mine\?$/);
      expect(hub!.requests).to.deep.equal([]);
      const nobody = pushCommand.run({ repo: 'me/mine' }, session(undefined).session, [promoted]);
      expect((await rejection(nobody)).message).to.contain('Nobody is there to answer: give --yes.');
      await pushCommand.run({ repo: 'me/mine' }, session(true).session, [promoted]);
      expect(
        files.get('model.safetensors')!.equals(readFileSync(join(promoted, 'model', 'model.safetensors'))),
      ).to.equal(true);
    });

    it('does not push a base as if it were the trained model', async () => {
      const error = await rejection(pushCommand.run({ repo: 'me/mine', yes: true }, session(true).session, [kept]));
      expect(error.message)
        .to.contain('was not promoted')
        .and.to.contain(join(kept, 'training', 'model'));
    });
  });
});

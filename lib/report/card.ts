import { readModelDirectory } from '../models/directory.js';
import { signed } from '../specialize/verdict.js';
import type { RunFacts } from './facts.js';

const HUB_NAME = /^[\w.-]+\/[\w.-]+$/;

/** ir_measures' names as the Hub's metrics are written: 'nDCG@10' → 'ndcg_at_10'. */
function metricType(measure: string): string {
  return measure
    .toLowerCase()
    .replace('@', '_at_')
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/_$/, '');
}

/**
 * The card (README.md) of the model that a run recommends: the Hub's metadata block, what it gained and where, how to
 * use it, how it was made. All from the run's own files, so it says no more than the run shows.
 * @param directory of the model
 * @see https://huggingface.co/docs/hub/model-cards
 */
export async function writeCard(facts: RunFacts, directory: string): Promise<string> {
  const { prompts } = await readModelDirectory(directory);
  const name = facts.model.split(/[\\/]/).filter(Boolean).at(-1) as string;
  const promoted = facts.promotion?.promoted === true;
  const parts = [
    metadata(facts, `${name}-specialised`),
    `# ${line(name)}${promoted ? ', specialised' : ''}`,
    promoted ? '' : KEPT,
    ...(promoted ? [intro(facts), results(facts)] : [results(facts)]),
    usage(prompts),
    ...(promoted ? [making(facts)] : []),
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

const KEPT =
  'These are the base model’s own weights. A specialised model was trained and did not pass the test against the base, ' +
  'so the run kept the base.';

/** YAML's flow style is JSON, which needs no rules of its own for quotes. */
function metadata({ model, evaluation, promotion }: RunFacts, name: string): string {
  const first = evaluation?.comparison.differences[0];
  const set = evaluation?.on === 'test' ? setName(first?.set ?? 'test set') : 'held-out written queries';
  const lines = [
    '---',
    'library_name: sentence-transformers',
    'pipeline_tag: sentence-similarity',
    ...(HUB_NAME.test(model) ? [`base_model: ${JSON.stringify(model)}`] : []),
    'tags: ["sentence-transformers", "sentence-similarity", "feature-extraction", "listwise"]',
  ];
  if (promotion?.promoted && evaluation) {
    const metrics = evaluation.comparison.differences.map(({ measure, value }) => ({
      ...{ type: metricType(measure), name: measure, value: Number(value.toFixed(5)) },
    }));
    const task = { type: 'information-retrieval', name: 'Information Retrieval' };
    const result = { task, dataset: { type: 'custom', name: set }, metrics };
    lines.push(`model-index: ${JSON.stringify([{ name, results: [result] }])}`);
  }
  return [...lines, '---'].join('\n');
}

function intro({ model }: RunFacts): string {
  const base = HUB_NAME.test(model) ? `[${model}](https://huggingface.co/${model})` : line(setName(model));
  return `${base}, trained to search one corpus by listwise distillation ([arXiv 2502.19712](https://arxiv.org/abs/2502.19712)) with listwise.`;
}

function results({ evaluation, promotion }: RunFacts): string {
  if (!evaluation || !promotion) return '';
  const { differences } = evaluation.comparison;
  const rows = differences.map(
    ({ measure, base, value, difference, interval }) =>
      `| ${measure} | ${base.toFixed(4)} | ${value.toFixed(4)} | ${signed(difference)} (${signed(interval.low)} to ${signed(interval.high)}) |`,
  );
  const guards = promotion.guards.map(
    ({ name, measure, base, value, difference }) =>
      `| ${measure} on guard set ${line(setName(name))} | ${base.toFixed(4)} | ${value.toFixed(4)} | ${signed(difference)} |`,
  );
  return [
    '## Results',
    promotion.verdict.text,
    ['| measure | base | trained | difference, 95 % interval |', '|---|---|---|---|', ...rows, ...guards].join('\n'),
  ].join('\n\n');
}

function usage({ query, passage }: { query: string | undefined; passage: string | undefined }): string {
  const prefixes = [
    query ? `Queries are encoded with the prefix ${JSON.stringify(query)}` : '',
    passage ? `passages with the prefix ${JSON.stringify(passage)}` : '',
  ].filter(Boolean);
  const prompts = prefixes.length > 0 ? `\n\n${prefixes.join(', ')}; both do that by themselves.` : '';
  return `## Use

\`\`\`python
from sentence_transformers import SentenceTransformer
model = SentenceTransformer("this model's name or directory")
scores = model.encode_query(["a query"]) @ model.encode_document(["a passage", "another"]).T
\`\`\`

\`\`\`ts
import { Embedder } from 'listwise';
const embedder = await Embedder.load("this model's name or directory");
const query = await embedder.encode(['a query'], { kind: 'query' });
\`\`\`

Embeddings of another model, the base included, do not fit these: encode the corpus anew.${prompts}`;
}

function making({ stages, funnel, steps }: RunFacts): string {
  const counts = (name: string) =>
    (stages.find((stage) => stage.name === name)?.counts ?? {}) as Record<string, number | string | undefined>;
  const types = funnel.map(({ type, steps: left }) => `${line(type)} ${left.at(-1)?.queries ?? 0}`);
  const option = (stage: string, name: string) => stages.find((one) => one.name === stage)?.options[name];
  const teacher = option('teacher', 'teacher');
  const { listwise, torch } = stages.at(-1)?.versions ?? {};
  return [
    '## How it was made',
    [
      `- corpus: ${counts('corpus')['passages'] ?? 'unknown'} passages, of which ${counts('corpus')['usable'] ?? 'all'} were used`,
      `- training lists: ${counts('lists')['train'] ?? 0} (dev: ${counts('lists')['dev'] ?? 0}); queries by type: ${types.join(', ')}`,
      `- teacher: ${typeof teacher === 'string' ? line(teacher) : 'see the run’s manifest'}`,
      `- training: ${steps.length} steps of ${steps[0]?.queries ?? 0} queries, highest learning rate ${Math.max(0, ...steps.map(({ learningRate }) => learningRate)).toPrecision(3)}`,
      `- listwise ${listwise}, libtorch ${torch}`,
    ].join('\n'),
  ].join('\n\n');
}

/** The last part of a path: where a set lies on the maker's machine is nobody's business. */
function setName(path: string): string {
  return path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;
}

/** Other people's text in Markdown: one line, without what Markdown or HTML would act on. */
function line(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .replace(/[\\`*_[\]<>|#&]/g, '\\$&')
    .trim();
}

import { readModelDirectory } from '../models/directory.js';
import { signed } from '../specialize/verdict.js';
import type { RunFacts } from './facts.js';

/** What the run's files do not say. */
export interface CardFacts {
  /** Of the model that the card is for. */
  directory: string;
  /** Whether the base came from the Hub, which can be linked to, and is no directory of this machine. */
  isHubBase: boolean;
  /** The teacher in words. */
  teacher: string;
}

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
 * @see https://huggingface.co/docs/hub/model-cards
 */
export async function writeCard(facts: RunFacts, beside: CardFacts): Promise<string> {
  const { prompts, maxLength } = await readModelDirectory(beside.directory);
  const name = facts.model.split(/[\\/]/).filter(Boolean).at(-1) as string;
  const promoted = facts.promotion?.promoted === true;
  const parts = [
    metadata(facts, `${name}-specialised`, beside),
    `# ${line(name)}${promoted ? ', specialised' : ''}`,
    promoted ? '' : KEPT,
    ...(promoted ? [intro(facts, beside)] : []),
    results(facts, maxLength),
    usage(prompts),
    ...(promoted ? [making(facts, beside)] : []),
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

const KEPT =
  'These are the base model’s own weights. A specialised model was trained and did not pass the test against the base, ' +
  'so the run kept the base.';

/** YAML's flow style is JSON, which needs no rules of its own for quotes. */
function metadata({ model, evaluation, promotion }: RunFacts, name: string, { isHubBase }: CardFacts): string {
  const first = evaluation?.comparison.differences[0];
  const set = evaluation?.on === 'test' ? setName(first?.set ?? 'test set') : 'held-out written queries';
  const lines = [
    '---',
    'library_name: sentence-transformers',
    'pipeline_tag: sentence-similarity',
    ...(isHubBase ? [`base_model: ${JSON.stringify(model)}`] : []),
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

function intro({ model }: RunFacts, { isHubBase }: CardFacts): string {
  const base = isHubBase ? `[${model}](https://huggingface.co/${model})` : line(setName(model));
  return `${base}, trained to search one corpus by listwise distillation ([arXiv 2502.19712](https://arxiv.org/abs/2502.19712)) with listwise.`;
}

function results({ evaluation, promotion, stages }: RunFacts, maxLength: number): string {
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
    lengths(stages, maxLength),
    ['| measure | base | trained | difference, 95 % interval |', '|---|---|---|---|', ...rows, ...guards].join('\n'),
  ].join('\n\n');
}

/** A model that reads on where it was measured cut off is another one to those who use it. */
function lengths(stages: RunFacts['stages'], maxLength: number): string {
  const { passageMaxLength: passages, queryMaxLength: queries } =
    stages.find(({ name }) => name === 'evaluation')?.options ?? {};
  if (typeof passages !== 'number') return '';
  const measured = `Measured with texts cut to ${passages} tokens (queries to ${queries}), as in training.`;
  if (maxLength <= passages) return measured;
  return `${measured} By itself the model reads up to ${maxLength} tokens: for the same results set its \`max_seq_length\` to ${passages}.`;
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

function making({ stages, funnel, steps }: RunFacts, { teacher }: CardFacts): string {
  const counts = (name: string) =>
    (stages.find((stage) => stage.name === name)?.counts ?? {}) as Record<string, number | string | undefined>;
  const types = funnel.map(({ type, steps: left }) => `${line(type)} ${left.at(-1)?.queries ?? 0}`);
  const { listwise, torch } = stages.at(-1)?.versions ?? {};
  return [
    '## How it was made',
    [
      `- corpus: ${counts('corpus')['passages'] ?? 'unknown'} passages, of which ${counts('corpus')['usable'] ?? 'all'} were used`,
      `- training lists: ${counts('lists')['train'] ?? 0} (dev: ${counts('lists')['dev'] ?? 0}); queries by type: ${types.join(', ')}`,
      `- teacher: ${line(teacher)}`,
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

import type { TeachOptions } from '../teachers/teach.js';
import type { CommandSpec } from './command.js';
import { CORPUS_HELP, corpusOf, corpusReadingOptions } from './corpus-options.js';
import { teacherOption, teacherValue } from './teacher-option.js';

export const teachCommand: CommandSpec = {
  name: 'teach',
  summary: 'have a teacher score passages for queries, to train on or to compare',
  description:
    'Scores the candidates of a TREC run by a cross-encoder here, by a reranker or LLM on a server, by scores at hand, or by several of these, and ' +
    'writes {"query", "passage", "score"} a line, which `specialize --teacher` takes. Answers are kept in ' +
    '<output>.answers the moment they come: stopped and started again, the command asks for nothing twice.\n\n' +
    'Queries are JSON Lines with "_id" and "text" as in BEIR, or with "id" and "query" as in a run directory. Keys are ' +
    "read from the environment: COHERE_API_KEY, JINA_API_KEY, or what the teacher's keyVariable names.",
  options: [
    { name: 'corpus', kind: 'text', value: 'path', required: true, orApiValue: 'array', help: CORPUS_HELP },
    { name: 'queries', kind: 'text', value: 'file', required: true, help: 'queries in JSON Lines' },
    { name: 'candidates', kind: 'text', value: 'file', required: true, help: 'TREC run with the passages to score' },
    {
      ...teacherOption,
      required: true,
      help: 'cross-encoder:MODEL, tei:http://localhost:8080, vllm-score:ADDRESS#MODEL, llm:ADDRESS#MODEL, cohere:MODEL, a file of scores, or JSON with options or several of these',
    },
    {
      name: 'lowPercentile',
      kind: 'number',
      value: 'percent',
      help: 'of each of several teachers, becomes 0 (default: 1)',
    },
    { name: 'highPercentile', kind: 'number', value: 'percent', help: 'of each of several, becomes 1 (default: 99)' },
    { name: 'output', kind: 'text', value: 'file', required: true, help: 'where the scores go' },
    ...corpusReadingOptions,
  ],
  examples: [
    {
      line: 'teach --corpus examples/cranfield --queries runs/cranfield/queries.jsonl --candidates runs/cranfield/candidates/fused.trec --teacher tei:http://localhost:8080 --output scores.jsonl',
      purpose: 'a reranker on this machine scores the candidates of a run',
    },
  ],
  async run(options, session) {
    const { teach } = await import('../teachers/teach.js');
    const { corpus, queries, candidates, teacher, output, lowPercentile, highPercentile } = options;
    const { signal, onProgress } = session;
    const result = await teach({
      ...({ queries, candidates, teacher, output, lowPercentile, highPercentile } as unknown as TeachOptions),
      ...teacherValue(options),
      corpus:
        typeof corpus === 'string' ? await corpusOf(corpus, options, session) : (corpus as TeachOptions['corpus']),
      signal,
      onProgress,
    });
    const { pairs, scored, asked = [] } = result;
    const spent = asked.map(({ teacher: name, requests, tokens }) => {
      const counted = tokens > 0 ? `, ${tokens} tokens` : '';
      return `${name}: ${requests} requests answered${counted}`;
    });
    return { json: result, text: [`${output}: ${scored} of ${pairs} pairs scored`, ...spent].join('\n') };
  },
};

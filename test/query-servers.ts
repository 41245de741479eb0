import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { passageText } from '../lib/corpus/passage.js';
import type { WriteQueriesOptions } from '../lib/queries/write-queries.js';
import { temporaryDirectory } from './helpers.js';
import { type LlmServer, type LlmServerOptions, passageOf, startLlmServer } from './servers/llm.js';

export const cranfield = fileURLToPath(new URL('../examples/cranfield', import.meta.url));
/** The records of a JSON Lines file. */
export const lines = <T = any>(file: string): T[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** Queries that people's models wrote for Cranfield, by the beginning of the prompt and the passage it ends with. */
async function writtenAnswers(): Promise<(prompt: string) => string> {
  const corpus = await loadCorpus(cranfield);
  const kinds = {
    question: 'one question',
    claim: 'one claim',
    title: 'one title',
    keywords: 'few terms',
    web: 'someone would type',
    random: 'one search query',
  };
  const answers = new Map<string, string>();
  for (const { passage, type, query } of lines(join(cranfield, 'written-queries.jsonl'))) {
    answers.set(`${type} ${passageText(corpus.get(passage)!)}`, query);
  }
  return (prompt) => {
    const [type] = Object.entries(kinds).find(([, words]) => prompt.split('\n')[0]!.includes(words))!;
    return answers.get(`${type} ${passageOf(prompt)}`) ?? `no query was written for ${passageOf(prompt).length}`;
  };
}

const servers: LlmServer[] = [];

/** What a language model wrote, by prompt; there once `useServers` has run. */
export let written: (prompt: string) => string;
/** Ids of the passages that have written queries. */
export let sources: string[];

/** Reads Cranfield's written queries before the tests of a group, and ends after each test the servers that it began. */
export function useServers(): void {
  before(async () => {
    written = await writtenAnswers();
    sources = [...new Set(lines(join(cranfield, 'written-queries.jsonl')).map(({ passage }) => passage as string))];
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
  });
}

/** A server that answers with the written queries. */
export async function serve(options: LlmServerOptions = {}): Promise<LlmServer> {
  const server = await startLlmServer({ answer: written, ...options });
  servers.push(server);
  return server;
}

/** Ends a server before its test does. */
export async function stop(server: LlmServer): Promise<void> {
  servers.splice(servers.indexOf(server), 1);
  await server[Symbol.asyncDispose]();
}

/** The passages of Cranfield that have written queries, as few as are asked for. */
export async function passages(count: number) {
  const corpus = await loadCorpus(cranfield);
  return sources.slice(0, count).map((id) => corpus.get(id)!);
}

/** Options for writing queries for so many passages by a server. */
export const optionsFor = async (server: LlmServer, count: number, more: Partial<WriteQueriesOptions> = {}) => ({
  ...{ corpus: await passages(count), output: join(temporaryDirectory(), 'queries'), minCharacters: 1 },
  ...{ llmModel: 'writer', llmBaseUrl: server.url, llmBackoff: 0.002 },
  ...more,
});

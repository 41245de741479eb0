import type { RunFacts } from './facts.js';
import { foreign, html, type Markup } from './html.js';
import { numberCell, table } from './table.js';

/** What a model on a server was asked over all sessions, and what that cost where it is known. */
interface Cost {
  /** Who was asked. */
  name: string;
  /** What for. */
  purpose: string;
  requests: number;
  tokens: number;
  /** In the currency of the prices that the user gave. */
  cost?: number;
}

/** Requests and tokens as the stages of queries and of the teacher count them. */
type WrittenCounts = { models?: Record<string, number> } & Record<
  'requests' | 'promptTokens' | 'completionTokens',
  number
> & { cost?: number };
type AskedCounts = { teacher: string; requests: number; tokens: number };

/** What servers were asked in a run; empty where everything was computed here. */
export function costsOf({ stages }: Pick<RunFacts, 'stages'>): Cost[] {
  const counts = (stage: string) => stages.find(({ name }) => name === stage)?.counts as object | undefined;
  const { written } = (counts('queries') ?? {}) as { written?: WrittenCounts };
  const { asked = [] } = (counts('teacher') ?? {}) as { asked?: AskedCounts[] };
  const writer = written && {
    name: Object.keys(written.models ?? {}).join(', '),
    purpose: 'writing queries',
    requests: written.requests,
    tokens: written.promptTokens + written.completionTokens,
    ...(written.cost !== undefined && { cost: written.cost }),
  };
  const teachers = asked.map(({ teacher, requests, tokens }) => ({
    ...{ name: teacher, purpose: 'scoring passages', requests, tokens },
  }));
  return [...(writer ? [writer] : []), ...teachers];
}

export function costsTable(facts: Pick<RunFacts, 'stages'>): Markup {
  const costs = costsOf(facts);
  if (costs.length === 0) return html`<p>No language model and no server was asked: all was computed here.</p>`;
  const rows = costs.map(({ name, purpose, requests, tokens, cost }) => [
    foreign(name || 'language model', 80),
    purpose,
    numberCell(requests.toLocaleString('en')),
    // Servers that count no tokens give none.
    numberCell(tokens > 0 ? tokens.toLocaleString('en') : 'unknown'),
    numberCell(cost === undefined ? 'unknown' : String(Number(cost.toPrecision(4)))),
  ]);
  return html`<p class="soft">Over all sessions. The cost is in the currency of the prices given for the language model.</p>
${table('Costs of models on servers', ['asked', 'for', 'requests', 'tokens', 'cost'], rows)}`;
}

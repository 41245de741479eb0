import { InvalidArgumentError } from '../errors.js';
import { definitions, type MeasureDefinition } from './definitions.js';

export interface MeasureOptions {
  /** Lowest grade that counts as relevant, from 1; for measures whose name does not say it. Default 1. */
  relevanceLevel?: number;
  /** Leave passages that are not judged out of the ranking; for measures whose name does not say it. Default false. */
  judgedOnly?: boolean;
}

/** A measure with all its parameters. */
export interface Measure {
  /** The name that ir_measures gives it, such as `nDCG@10`, `AP`, `P(rel=2)@5`. */
  name: string;
  definition: MeasureDefinition;
  /** Ranks that count; all of them where undefined. */
  cutoff: number | undefined;
  relevanceLevel: number;
  judgedOnly: boolean;
}

const SHAPE = /^\s*([A-Za-z]+)\s*(?:\(([^()]*)\))?\s*(?:@\s*(\d+))?\s*$/;

/**
 * Reads a measure's name in ir_measures' notation: a name or alias, parameters in parentheses (`rel`, `judged_only`),
 * and a cut-off behind `@`: `nDCG@10`, `Recall@100` (for `R@100`), `AP(rel=2)`, `P(rel=2,judged_only=True)@5`.
 * Upper and lower case are alike.
 * @throws InvalidArgumentError naming the measures there are, or what is wrong with the parameters
 * @see MacAvaney, Macdonald and Ounis 2022, Streamlining Evaluation with ir-measures
 */
export function parseMeasure(text: string, options: MeasureOptions = {}): Measure {
  const [, word = '', parameters = '', cutoffText] = SHAPE.exec(String(text)) ?? [];
  const definition = byName.get(word.toLowerCase());
  if (!definition) {
    throw new InvalidArgumentError('measure', `one of ${measureNames().join(', ')}`, text, 'k is a whole number');
  }
  const cutoff = cutoffText === undefined ? undefined : Number(cutoffText);
  checkCutoff(text, definition, cutoff);
  const given = parseParameters(text, definition, parameters);
  const { relevanceLevel = 1, judgedOnly = false } = { ...options, ...given };
  if (!Number.isSafeInteger(relevanceLevel) || relevanceLevel < 1) {
    throw new InvalidArgumentError('relevanceLevel', 'a whole number from 1', relevanceLevel);
  }
  const measure = { definition, cutoff, relevanceLevel, judgedOnly };
  return { name: canonicalName(measure), ...withoutUnused(measure) };
}

/** The measures there are, with `@k` where a cut-off is required and `[@k]` where it may be given. */
export function measureNames(): string[] {
  return definitions.map(({ name, cutoff }) => name + { required: '@k', optional: '[@k]', none: '' }[cutoff]);
}

const byName = new Map(
  definitions.flatMap((definition) =>
    [definition.name, ...definition.aliases].map((name) => [name.toLowerCase(), definition] as const),
  ),
);

function checkCutoff(text: string, { name, cutoff: kind }: MeasureDefinition, cutoff: number | undefined): void {
  if (kind === 'none' && cutoff !== undefined) {
    throw new InvalidArgumentError('measure', `${name} without a cut-off`, text);
  }
  if ((kind === 'required' && cutoff === undefined) || cutoff === 0) {
    throw new InvalidArgumentError('measure', `${name} with a cut-off from 1`, text, `write ${name}@10, say`);
  }
}

function parseParameters(text: string, definition: MeasureDefinition, parameters: string): MeasureOptions {
  const given: MeasureOptions = {};
  for (const parameter of parameters.split(',').filter((part) => part.trim() !== '')) {
    const [key = '', value = ''] = parameter.split('=').map((part) => part.trim());
    if (key === 'rel' && definition.parameters.includes('rel') && /^\d+$/.test(value)) {
      given.relevanceLevel = Number(value);
    } else if (
      key === 'judged_only' &&
      definition.parameters.includes('judged_only') &&
      /^(true|false)$/i.test(value)
    ) {
      given.judgedOnly = value.toLowerCase() === 'true';
    } else {
      throw new InvalidArgumentError('measure', `${definition.name} ${allowed(definition)}`, text);
    }
  }
  return given;
}

function allowed({ parameters }: MeasureDefinition): string {
  const forms = { rel: 'rel=<whole number>', judged_only: 'judged_only=True or False' };
  if (parameters.length === 0) return 'without parameters';
  return `with no other parameters than ${parameters.map((parameter) => forms[parameter]).join(' and ')}`;
}

type Parameters = Omit<Measure, 'name'>;

/** A measure that does not know a parameter has its default, so that options for all measures do not change it. */
function withoutUnused(measure: Parameters): Parameters {
  const { parameters } = measure.definition;
  return {
    ...measure,
    relevanceLevel: parameters.includes('rel') ? measure.relevanceLevel : 1,
    judgedOnly: parameters.includes('judged_only') && measure.judgedOnly,
  };
}

function canonicalName(measure: Parameters): string {
  const { definition, cutoff, relevanceLevel, judgedOnly } = withoutUnused(measure);
  const parameters: string[] = [];
  if (relevanceLevel !== 1) parameters.push(`rel=${relevanceLevel}`);
  if (judgedOnly) parameters.push('judged_only=True');
  const inside = parameters.length > 0 ? `(${parameters.join(',')})` : '';
  return `${definition.name}${inside}${cutoff === undefined ? '' : `@${cutoff}`}`;
}

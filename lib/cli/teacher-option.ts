import type { TeacherChoice } from '../teachers/choice.js';
import { type OptionSpec, UsageError } from './command.js';

export const teacherOption: OptionSpec = {
  name: 'teacher',
  kind: 'text',
  value: 'name',
  orApiValue: 'array or object',
  help: 'fused (dense and BM25 scores, needs nothing else), a file of scores, cross-encoder:MODEL, a server such as tei:http://localhost:8080, llm:ADDRESS#MODEL or cohere:MODEL, or JSON with options or several of these (default: fused)',
};

/**
 * The teacher that a command's options name: the API takes names as they are; options and ensembles come as JSON.
 * @throws UsageError for JSON that is none
 */
export function teacherValue({ teacher }: Record<string, unknown>): { teacher?: TeacherChoice } {
  if (typeof teacher !== 'string' || !/^\s*[[{]/.test(teacher)) return {};
  try {
    return { teacher: JSON.parse(teacher) };
  } catch (error) {
    throw new UsageError(`Expected JSON for --teacher but the parser says: ${(error as Error).message}.`);
  }
}

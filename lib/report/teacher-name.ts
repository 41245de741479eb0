import { isDirectory } from '../models/hub.js';
import { membersOf, type SettledTeacher, type SingleChoice } from '../teachers/choice.js';

/**
 * A teacher in words, for people who were not there: its kind and model, and of several each one's weight. Addresses of
 * servers and places on this machine are left out.
 */
export async function teacherName(teacher: SettledTeacher): Promise<string> {
  const members = membersOf(teacher);
  if (members.length === 1) return nameOf(members[0]!.teacher);
  const named: string[] = [];
  for (const { teacher: member, weight } of members) named.push(`${await nameOf(member)} (weight ${weight})`);
  return named.join(' + ');
}

async function nameOf(choice: SingleChoice): Promise<string> {
  switch (choice.kind) {
    case 'fused':
      return 'fused (dense and BM25 scores)';
    case 'file':
      return 'scores from a file';
    default: {
      const { kind, model } = choice;
      if (model === undefined) return `a model on a server (${kind})`;
      // A server may know its models by paths, too.
      const isPlace = /^[./\\~]|^[a-z]:\\/i.test(model) || (kind === 'cross-encoder' && (await isDirectory(model)));
      return `${kind} ${isPlace ? model.split(/[\\/]/).filter(Boolean).at(-1) : model}`;
    }
  }
}

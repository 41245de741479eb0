import { lstat, readdir } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { findCorpusFiles } from '../corpus/places.js';
import { InvalidArgumentError } from '../errors.js';
import { writing } from '../formats/writing.js';
import { isWithin } from '../models/save-target.js';
import { membersOf } from '../teachers/choice.js';
import type { SettledOptions } from './options.js';
import { FILES, type RunDirectory, retrieverFile } from './run-directory.js';

/** `training` itself is left out, for what matters is what it holds, and what a run has before its manifest. */
const OTHERS: readonly string[] = [FILES.training, FILES.lock, FILES.progress];

/** Everything that a run writes over. */
const WRITTEN: readonly string[] = [
  ...Object.values(FILES).filter((name) => !OTHERS.includes(name)),
  ...[retrieverFile('dense'), retrieverFile('bm25')],
];

/**
 * Checks that a run in this directory writes over nothing but an earlier run: the directory neither is nor holds what
 * the run reads, and without a manifest it has no files of the names that the run writes.
 * @param modelDirectory where the base model was found
 * @throws InvalidArgumentError naming the input or the file that would be lost; WriteError if there is a file in the
 * directory's place
 */
export async function checkOutput(
  options: SettledOptions,
  directory: RunDirectory,
  modelDirectory: string,
): Promise<void> {
  const { output, corpus, queries, humanQueries, data } = options;
  const inputs = { corpus, queries, humanQueries, data, model: modelDirectory };
  for (const [name, path] of Object.entries(inputs)) {
    if (typeof path !== 'string' || !(await isWithin(path, directory.path))) continue;
    const remedy = `${name} (${path}) is in it or is the same place, and could be overwritten`;
    throw new InvalidArgumentError('output', "a directory of the run's own", output, remedy);
  }
  await checkOutsideTexts(options, directory);
  await checkInputFiles(options, directory);
  // A file in its place, or above it, shows here already and not after long reading.
  await writing(directory.path, () => readdir(directory.path).catch(unlessMissing));
  if (await isThere(directory.file('manifest'))) return;
  for (const name of WRITTEN) {
    if (!(await isThere(join(directory.path, name)))) continue;
    const expected = 'a new or empty directory, or that of an earlier run with its manifest.json,';
    const remedy = `it holds ${name}, which would be overwritten; give another directory`;
    throw new InvalidArgumentError('output', expected, output, remedy);
  }
}

/** Files of text are read at any depth, so a run among them would be part of its corpus when it is started again. */
async function checkOutsideTexts({ corpus, corpusFormat, output }: SettledOptions, directory: RunDirectory) {
  if (typeof corpus !== 'string' || !(await isWithin(directory.path, corpus))) return;
  const isHidden = relative(resolve(corpus), directory.path)
    .split(sep)
    .some((part) => part.startsWith('.'));
  if (isHidden || (await findCorpusFiles(corpus, corpusFormat)).format !== 'text') return;
  const expected = `a directory outside of the corpus (${corpus}), whose files of text are read at any depth,`;
  throw new InvalidArgumentError('output', expected, output);
}

/** Scores and exclusions are often made from a run's files and kept beside them, so only the names count. */
async function checkInputFiles({ teacher, exclude }: SettledOptions, directory: RunDirectory): Promise<void> {
  const scores = membersOf(teacher).flatMap(({ teacher: choice }) => (choice.kind === 'file' ? [choice.scores] : []));
  const files = [...scores.map((file) => ['teacher.scores', file] as const), ['exclude', exclude] as const];
  for (const [argument, path] of files) {
    if (typeof path !== 'string') continue;
    for (const name of WRITTEN) {
      if (!(await isWithin(path, join(directory.path, name)))) continue;
      throw new InvalidArgumentError(
        argument,
        'a file that the run does not write itself',
        path,
        'give it another name',
      );
    }
  }
}

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

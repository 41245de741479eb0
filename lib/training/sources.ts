import { basename, resolve } from 'node:path';
import type { CorpusSource } from '../corpus/corpus.js';
import { describe, InvalidArgumentError } from '../errors.js';
import type { GivenList } from '../lists/given.js';

/** One lists file, or lists at hand. */
export type ListsSource = string | readonly GivenList[];

/** Passages by id beside what loadCorpus takes. */
export type TrainingCorpus = CorpusSource | ReadonlyMap<string, { title?: string; text: string } | string>;

/** One of several training sets: its passages' ids are its own, so two corpora may use the same. */
export interface TrainingSource {
  lists: ListsSource;
  dev?: ListsSource;
  /** Default the option `corpus`. */
  corpus?: TrainingCorpus;
  /** For the log; default the name of the lists' file, else `set 1` and so on. */
  name?: string;
}

export type NamedSource = TrainingSource & { name: string };

/** What says where lists come from: one set, or several as sources or as files side by side. */
export interface SourceOptions {
  lists: ListsSource | readonly string[] | readonly TrainingSource[];
  dev?: ListsSource | readonly string[];
  corpus?: TrainingCorpus | readonly string[];
}

const LISTS = 'a file of training lists or an array of lists';

/**
 * The training sets that options name.
 * @throws InvalidArgumentError where they do not fit together
 */
export function settleSources({ lists, dev, corpus }: SourceOptions): NamedSource[] {
  if (isFiles(lists)) return named(sideBySide(lists, { dev, corpus }));
  if (!Array.isArray(lists) || !lists.some(isSource)) {
    checkSingle(dev, 'dev');
    checkSingle(corpus, 'corpus');
    return named([{ lists, dev, corpus } as TrainingSource]);
  }
  if (dev !== undefined) {
    const remedy = 'where lists are several sources, each names its own dev';
    throw new InvalidArgumentError('dev', 'nothing', dev, remedy);
  }
  for (const [i, source] of lists.entries()) {
    if (isSource(source)) continue;
    throw new InvalidArgumentError(`lists[${i}]`, 'a source, {lists, dev, corpus, name}, as others are,', source);
  }
  return named(lists.map((source) => ({ corpus: corpus as TrainingCorpus | undefined, ...source })));
}

/** Files of lists, each with the dev lists and the corpus of the same place; one corpus may be that of all. */
function sideBySide(
  lists: readonly string[],
  { dev, corpus }: Pick<SourceOptions, 'dev' | 'corpus'>,
): TrainingSource[] {
  const devFiles = perSet(dev, 'dev', lists.length);
  // On the command line it is an array even of one.
  const shared = isFiles(corpus) && corpus.length === 1 ? corpus[0] : corpus;
  const corpora = perSet(shared, 'corpus', lists.length);
  if (dev !== undefined && !devFiles && lists.length > 1) {
    throw new InvalidArgumentError('dev', `${lists.length} files, one for each of lists,`, dev);
  }
  return lists.map((file, i) => ({
    lists: file,
    dev: devFiles ? devFiles[i] : (dev as ListsSource | undefined),
    corpus: corpora ? corpora[i] : (shared as TrainingCorpus | undefined),
  }));
}

function perSet(given: unknown, argument: string, count: number): readonly string[] | undefined {
  if (!isFiles(given)) return undefined;
  if (given.length === count) return given;
  throw new InvalidArgumentError(argument, `${count} paths, one for each of lists,`, given);
}

function checkSingle(given: unknown, argument: string): void {
  if (!isFiles(given)) return;
  throw new InvalidArgumentError(argument, 'one, as there is one set of lists,', given);
}

function named(sources: readonly TrainingSource[]): NamedSource[] {
  const names = new Set<string>();
  return sources.map((source, i) => {
    const { lists, dev, name = typeof lists === 'string' ? nameOfFile(lists) : `set ${i + 1}` } = source;
    const place = sources.length > 1 ? `lists[${i}].` : '';
    checkLists(lists, `${place}lists`);
    if (dev !== undefined) checkLists(dev, `${place}dev`);
    if (areSameFile(lists, dev)) {
      const remedy = 'on the lists trained on, losses only fall, and nothing would stop the training';
      throw new InvalidArgumentError(`${place}dev`, 'lists other than those trained on', dev, remedy);
    }
    if (typeof name !== 'string' || name === '') throw new InvalidArgumentError(`lists[${i}].name`, 'a name', name);
    const own = names.has(name) && source.name === undefined ? `${name} ${i + 1}` : name;
    if (names.has(own)) throw new InvalidArgumentError(`lists[${i}].name`, 'a name that no other has', name);
    names.add(own);
    return { ...source, name: own };
  });
}

/** Lists at hand may be the same: who writes a script knows. */
function areSameFile(lists: ListsSource, dev: ListsSource | undefined): boolean {
  return typeof lists === 'string' && typeof dev === 'string' && resolve(lists) === resolve(dev);
}

function checkLists(lists: unknown, argument: string): void {
  if (typeof lists === 'string' ? lists !== '' : Array.isArray(lists) && lists.length > 0) return;
  throw new InvalidArgumentError(argument, LISTS, lists);
}

function nameOfFile(file: string): string {
  return basename(file).replace(/(\.train)?\.jsonl$/, '') || describe(file);
}

function isFiles(given: unknown): given is readonly string[] {
  return Array.isArray(given) && given.length > 0 && given.every((one) => typeof one === 'string');
}

function isSource(given: unknown): given is TrainingSource {
  return typeof given === 'object' && given !== null && 'lists' in given;
}

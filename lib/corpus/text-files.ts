import { extname, relative, sep } from 'node:path';
import { marked, type TokensList } from 'marked';
import { DataError, InvalidArgumentError } from '../errors.js';
import { withoutCompression } from '../formats/bytes.js';
import { type ReadOptions, readLines } from '../formats/lines.js';
import type { PlacedPassage } from './sources.js';
import { type SplitOptions, settleSplitOptions, splitBlocks } from './splitter.js';

export { type CountTokens, type SplitOptions, settleSplitOptions } from './splitter.js';

interface Block {
  text: string;
  /** 1-based, of its beginning. */
  line: number;
}

/** What stands under one title. */
interface Section {
  title: string;
  blocks: Block[];
}

/**
 * The passages of a plain text or Markdown file. Their ids are the file's path below `root` and a number ("a/b.md#3").
 * Their title is the file's name, in Markdown the headings they stand under; a passage never spans two headings.
 * @throws InvalidArgumentError without countTokens
 * @throws NotFoundError, DataError as readLines
 */
export async function* splitFile(
  file: string,
  options: SplitOptions & ReadOptions & { root: string },
): AsyncGenerator<PlacedPassage> {
  const { root, signal, invalidUtf8 } = options;
  const { countTokens, ...sizes } = settleSplitOptions(options);
  if (!countTokens) {
    const remedy = 'give embedder.countTokens, so that passages are measured as the model reads them';
    throw new InvalidArgumentError(
      'countTokens',
      `a function that counts tokens, to split ${file},`,
      undefined,
      remedy,
    );
  }
  const damagedLines: number[] = [];
  const lines: string[] = [];
  for await (const { text, line, damaged } of readLines(file, { signal, invalidUtf8, expected: 'a text file' })) {
    lines.push(text);
    if (damaged) damagedLines.push(line);
  }
  const path = relative(root, file).split(sep).join('/');
  let number = 0;
  for (const { title, blocks } of sectionsOf(lines.join('\n'), path, file)) {
    const texts = blocks.map((block) => block.text);
    for (const split of await splitBlocks(texts, { ...sizes, countTokens }, signal)) {
      number += 1;
      const { line } = blocks[split.firstBlock]!;
      const end = line + split.text.split('\n').length;
      const damaged = damagedLines.some((at) => at >= line && at <= end);
      const passage = { id: `${idOf(path)}#${number}`, title, text: split.text, file, line };
      yield damaged ? { ...passage, damaged } : passage;
    }
  }
}

function sectionsOf(text: string, path: string, file: string): Section[] {
  const name = withoutCompression(path);
  const ending = extname(name).toLowerCase();
  const title = name.slice(name.lastIndexOf('/') + 1, name.length - ending.length);
  return ending.startsWith('.m')
    ? markdownSections(blocksOf(text, file), title)
    : [{ title, blocks: paragraphs(text) }];
}

/** Paragraphs of plain text, each with the blank lines behind it. */
function paragraphs(text: string): Block[] {
  let line = 1;
  return (text.match(/[\s\S]+?(?:\n[^\S\n]*(?=\n)[\s]*|$)/gu) ?? []).map((paragraph) => {
    const block = { text: paragraph, line: line + leadingLines(paragraph) };
    line += newlines(paragraph);
    return block;
  });
}

/** @throws DataError for quotes or lists inside one another by the thousand, which the parser follows one call deeper each */
function blocksOf(text: string, file: string): TokensList {
  try {
    return marked.lexer(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const problem =
      'Expected Markdown but its quotes or lists are nested too deeply; leave the file out, or name it .txt.';
    throw new DataError({ file }, problem, { cause: error });
  }
}

function markdownSections(blocks: TokensList, name: string): Section[] {
  const trail: string[] = [];
  let section: Section = { title: name, blocks: [] };
  const sections = [section];
  let line = 1;
  for (const token of blocks) {
    if (token.type === 'heading') {
      trail.length = Math.min(trail.length, token['depth'] - 1);
      trail[token['depth'] - 1] = plainText(token['text']);
      section = { title: Array.from(trail).filter(Boolean).join(' > '), blocks: [] };
      sections.push(section);
    } else if (token.type === 'space' && section.blocks.length > 0) {
      section.blocks.at(-1)!.text += token.raw;
    } else section.blocks.push({ text: token.raw, line });
    line += newlines(token.raw);
  }
  return sections;
}

/** A heading without the marks of emphasis and code. */
function plainText(heading: string): string {
  return heading.replace(/[*`]|\b_|_\b/g, '').trim();
}

function newlines(text: string): number {
  return text.split('\n').length - 1;
}

function leadingLines(text: string): number {
  return newlines(/^\s*/u.exec(text)![0]);
}

/** A path without white space, which ids may not have: such characters, and the percent sign, as in URLs. */
function idOf(path: string): string {
  return path.replace(/[\s%]/g, encodeURIComponent);
}

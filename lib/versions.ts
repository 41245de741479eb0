import { readFile } from 'node:fs/promises';
import { native } from './native.js';

let known: Record<string, string> | undefined;

/** What a run was made with: listwise, Node and libtorch. */
export async function versions(): Promise<Record<string, string>> {
  if (!known) {
    const file = new URL('../package.json', import.meta.url);
    const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string };
    known = { listwise: version, node: process.versions.node, torch: native().environment().torch };
  }
  return known;
}

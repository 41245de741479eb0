import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { WriteError } from '../errors.js';

/** What the file system says when it does not write, in words and with what to do. */
const PROBLEMS: Readonly<Record<string, string>> = {
  EEXIST: 'there is a file where a directory should be; give another path, or move the file away',
  ENOTDIR: 'it or a part of its path is a file where a directory should be; give another path',
  EISDIR: 'it is a directory; give the path of a file',
  ENOTEMPTY: 'it is a directory that is not empty; give another path',
  ENOENT: 'the directory is not there, or was removed meanwhile; check the path',
  EACCES: 'writing there is not permitted; check the permissions, or give another path',
  EPERM: 'writing there is not permitted; check the permissions, or give another path',
  EROFS: 'the file system is read-only; give a path on another',
  ENOSPC: 'the disk is full; make room, or give a path on another',
  EDQUOT: 'your quota of the disk is used up; make room, or give a path on another',
  EFBIG: 'the file is larger than the file system or the process limit allows; give a path on another',
  ENAMETOOLONG: 'the name is too long; give a shorter one',
  ELOOP: 'its links lead in a circle; give another path',
  EMFILE: 'the process has too many files open; raise the limit (ulimit -n)',
  EIO: 'the disk reports an error; check it, or give a path on another',
};

/**
 * Does work that writes to `place`, and explains what the file system refuses. Other errors stay as they are.
 * @param place the file or directory that the caller asked for, for the message
 * @throws WriteError for a refusal of the file system
 */
export async function writing<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // Node's own checks (in rm, say) put ERR_FS_ before the system's name.
    const { code } = (error ?? {}) as { code?: unknown };
    const problem = typeof code === 'string' ? PROBLEMS[code.replace(/^ERR_FS_/, '')] : undefined;
    throw problem ? new WriteError(place, problem, { cause: error }) : error;
  }
}

/**
 * Makes a directory and those above it, where they are not there yet.
 * @throws WriteError if that cannot be
 */
export async function makeDirectory(directory: string): Promise<void> {
  await writing(directory, () => makeFrom(resolve(directory)));
}

/** Step by step, since Node's own recursive mkdir does not return where a file system has places without entries. */
async function makeFrom(directory: string): Promise<void> {
  const made = await mkdir(directory).catch((error: NodeJS.ErrnoException) => error);
  if (!made || (made.code === 'EEXIST' && (await isDirectory(directory)))) return;
  const parent = dirname(directory);
  if (made.code !== 'ENOENT' || parent === directory) throw made;
  if (!(await isDirectory(parent))) await makeFrom(parent);
  // Another process may make it meanwhile.
  await mkdir(directory).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST' || !(await isDirectory(directory))) throw error;
  });
}

function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

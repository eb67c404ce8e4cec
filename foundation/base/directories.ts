/** Makes directories at paths that strangers chose. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from './errors.ts';

/**
 * Makes a directory and those above it that are missing, like `mkdir -p`. Node's own recursive mkdir goes round
 * for ever where the kernel answers ENOENT for a directory whose parent exists, as /proc does.
 *
 * @param mode permission bits of new directories, less the umask.
 * @throws the errors of mkdir(2), as Node has them; ENOTDIR if something else is at the path.
 */
export function makeDirectories(path: string, mode = 0o755): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = dirname(path);
  if (parent !== path) makeDirectories(parent, mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Made by somebody else meanwhile, or a file: then what is made below it fails with ENOTDIR.
    if (errnoOf(error) !== 'EEXIST' || statSync(path).isDirectory() === false) throw error;
  }
}

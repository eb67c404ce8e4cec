/**
 * Opens paths that strangers chose, so that they cannot leave a directory: openat2(2) resolves the whole path
 * in the kernel, in one step, and refuses whatever would escape. Nothing can be swapped between check and use.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';
import { check } from './libc.ts';
import { O_CLOEXEC, O_PATH, openat2, Resolve } from './openat2.ts';

/** A path held open with O_PATH: good for naming (bind mounts through `path`), not for reading. */
export interface HeldPath extends Disposable {
  readonly fd: number;
  /** `/proc/self/fd/N`: names the held file in this process whatever happens to its old path. */
  readonly path: string;
}

/**
 * Holds `relative` below `root` open. Symbolic links are followed as long as they stay inside.
 *
 * @throws SkiffError PERMISSION_DENIED if the path leaves `root`; NOT_FOUND if it does not exist.
 */
export function holdBeneath(root: string, relative: string): HeldPath {
  const directory = openSync(root, O_PATH | O_CLOEXEC);
  try {
    return held(openBeneath(directory, root, relative));
  } finally {
    closeSync(directory);
  }
}

/**
 * Makes the directories of `relative` below `root` that are missing and holds the last one open.
 *
 * @param mode permission bits of the new directories, exact whatever the umask.
 * @throws SkiffError PERMISSION_DENIED if the path leaves `root`.
 */
export function makeDirectoriesBeneath(root: string, relative: string, mode: number): HeldPath {
  const parts = relative.split('/').filter((part) => part !== '' && part !== '.');
  let current = holdBeneath(root, '.');
  for (const part of parts) {
    using parent = current;
    makeOne(`${parent.path}/${part}`, mode);
    // Through the root again: a link that leads up within the root stays allowed.
    current = held(openBeneath(parent.fd, root, part));
  }
  return current;
}

function makeOne(path: string, mode: number): void {
  const before = process.umask(0);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  } finally {
    process.umask(before);
  }
}

function openBeneath(directory: number, root: string, relative: string): number {
  const path = Buffer.from(`${relative}\0`);
  try {
    return check(
      openat2(directory, path, O_PATH | O_CLOEXEC, Resolve.beneath | Resolve.noMagicLinks),
      `Cannot open "${relative}" below "${root}"`,
    );
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') throw error;
    throw new SkiffError('PERMISSION_DENIED', `"${relative}" leads out of "${root}"`, { errno: 'EXDEV' });
  }
}

function held(fd: number): HeldPath {
  let open = true;
  return {
    fd,
    path: `/proc/self/fd/${fd}`,
    [Symbol.dispose]: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

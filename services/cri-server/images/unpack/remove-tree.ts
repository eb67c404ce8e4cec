/** Removes a directory tree through directory descriptors, never following a link or going into a mount. */
import { closeSync, readdirSync } from 'node:fs';
import { isSkiffError } from '#foundation/base/errors.ts';
import { FileType, openDirectoryInRoot, statAt, unlinkAt } from '#foundation/linux/at.ts';

/** Removes what `name` is in the open directory `folder`, with all that is below; an absent one is success. @throws SkiffError EXDEV at a mount. */
export function removeTreeAt(folder: number, name: string): void {
  const there = statAt(folder, name);
  if (there === undefined) return;
  if ((there.mode & FileType.mask) !== FileType.directory) {
    unlinkAt(folder, name);
    return;
  }
  emptyTreeAt(folder, name);
  try {
    unlinkAt(folder, name, { directory: true });
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
  }
}

function emptyTreeAt(folder: number, name: string): void {
  let fd: number;
  try {
    fd = openDirectoryInRoot(folder, name, { links: false, mounts: false });
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return;
    throw error;
  }
  try {
    for (const entry of readdirSync(`/proc/self/fd/${fd}`, { withFileTypes: true, encoding: 'buffer' })) {
      const child = entry.name.toString('latin1');
      if (entry.isDirectory()) removeTreeAt(fd, child);
      else unlinkAt(fd, child);
    }
  } finally {
    closeSync(fd);
  }
}

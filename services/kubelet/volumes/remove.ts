/** Takes volumes away without ever deleting what is mounted in them. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';
import { mountsBelow, unmount } from '#foundation/linux/mount.ts';

/**
 * Unmounts everything at and below `directory`, then deletes it.
 *
 * A busy mount is detached: its files stay for whoever holds them and are gone for all others, so that one
 * stuck process cannot keep a pod from ending.
 *
 * @throws SkiffError FAILED_PRECONDITION if something is still mounted; then nothing was deleted.
 */
export function removeVolume(directory: string): void {
  if (!existsSync(directory)) return;
  unmountBelow(directory);
  rmSync(directory, { recursive: true, force: true });
}

/** Unmounts everything at and below `directory` and makes sure of it. */
export function unmountBelow(directory: string): void {
  const mounts = mountsBelow(directory);
  // The table is long on a busy node, and most volumes are no mounts.
  if (mounts.length === 0) return;
  for (const entry of mounts) unmountOne(entry.target);
  const [left] = mountsBelow(directory);
  if (left === undefined) return;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `Cannot remove "${directory}": "${left.target}" is still mounted`,
  );
}

function unmountOne(target: string): void {
  try {
    unmount(target);
  } catch (error) {
    if (errnoOf(error) !== 'EBUSY') throw error;
    unmount(target, { lazy: true });
  }
}

/** The entries of a directory; none if it does not exist. */
export function entriesOf(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

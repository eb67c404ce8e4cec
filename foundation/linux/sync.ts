/** Makes a whole file system durable: syncfs(2). */
import { closeSync, openSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import { check, declare, declareSlow } from './libc.ts';

const syncfs = declare('int syncfs(int fd)');
const slowSyncfs = declareSlow('int syncfs(int fd)');

/**
 * Writes everything of the file system that holds `path` to disk, and waits. May take seconds: for worker
 * threads only.
 *
 * @throws SkiffError with errno EIO or ENOSPC if something could not be written.
 */
export function syncFileSystem(path: string): void {
  const fd = openSync(path, 'r');
  try {
    check(syncfs(fd), `Cannot write everything below "${path}" to disk`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Does the same on a thread of its own, beside whatever else goes on.
 *
 * @throws SkiffError INTERNAL if something could not be written; the kernel tells that once, so it must not be lost.
 */
export async function syncFileSystemBeside(path: string): Promise<void> {
  const fd = openSync(path, 'r');
  try {
    if ((await slowSyncfs(fd)) !== 0)
      throw new SkiffError('INTERNAL', `Cannot write everything below "${path}" to disk: the disk failed`);
  } finally {
    closeSync(fd);
  }
}

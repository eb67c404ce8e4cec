/** Makes a whole file system durable: syncfs(2). */
import { closeSync, openSync } from 'node:fs';
import { check, declare } from './libc.ts';

const syncfs = declare('int syncfs(int fd)');

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

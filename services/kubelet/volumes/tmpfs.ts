/** Memory file systems for emptyDir, and for content that must not touch a disk (secrets). */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from '#foundation/base/errors.ts';
import { mount } from '#foundation/linux/mount.ts';

/**
 * Mounts a tmpfs at `directory` unless a file system is mounted there already.
 *
 * @param size bytes it may hold; half of the machine's memory if left out (tmpfs(5)).
 * @throws SkiffError with the errno of mount(2).
 */
export function ensureTmpfs(directory: string, size: number | undefined): void {
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  if (isFileSystemRoot(directory)) return;
  const data = size === undefined ? undefined : `size=${size}`;
  // Never swapped where the kernel can promise it would be better still; noswap needs Linux 6.4 and is tried first.
  try {
    mount({
      source: 'tmpfs',
      target: directory,
      type: 'tmpfs',
      flags: tmpfsFlags,
      data: joined(data, 'noswap'),
    });
  } catch (error) {
    if (errnoOf(error) !== 'EINVAL') throw error;
    mount({ source: 'tmpfs', target: directory, type: 'tmpfs', flags: tmpfsFlags, data });
  }
}

/** Programs in an emptyDir may run, as on disk; only the size is limited. */
const tmpfsFlags = 0;

function joined(...options: (string | undefined)[]): string {
  return options.filter((option) => option !== undefined).join(',');
}

/** Whether another file system than its parent's begins at `directory`; bind mounts do not count. */
export function isFileSystemRoot(directory: string): boolean {
  return statSync(directory).dev !== statSync(dirname(directory)).dev;
}

/**
 * Reads files of a container's root as the container would see them: symbolic links, absolute ones too, are
 * resolved by the kernel as if that directory were `/` (openat2(2), RESOLVE_IN_ROOT), so none leads out.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { isSkiffError } from '#foundation/base/errors.ts';
import { check } from './libc.ts';
import { O_CLOEXEC, O_PATH, openat2, Resolve } from './openat2.ts';

/**
 * Opens `path` inside `root`. The caller closes the descriptor.
 *
 * @param flags of open(2); O_PATH unless told.
 * @throws SkiffError NOT_FOUND and its like.
 */
export function openInRoot(root: string, path: string, flags: number = O_PATH): number {
  const directory = openSync(root, O_PATH | O_CLOEXEC);
  try {
    return check(
      openat2(directory, Buffer.from(`${path}\0`), flags | O_CLOEXEC, Resolve.inRoot | Resolve.noMagicLinks),
      `Cannot open "${path}" in "${root}"`,
    );
  } finally {
    closeSync(directory);
  }
}

/**
 * Reads a text file inside `root`.
 *
 * @param maxBytes what is beyond is not read: a container's owner chose the file's size.
 * @returns undefined if there is no such file.
 */
export function readTextInRoot(root: string, path: string, maxBytes = 1024 * 1024): string | undefined {
  let fd: number;
  try {
    // Not blocking: a FIFO of that name must not stop the server.
    fd = openInRoot(root, path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND') || (isSkiffError(error) && error.errno === 'ENOTDIR'))
      return undefined;
    throw error;
  }
  try {
    const buffer = Buffer.alloc(maxBytes);
    let length = 0;
    for (let count = -1; count !== 0 && length < maxBytes; length += count)
      count = readSync(fd, buffer, length, maxBytes - length, null);
    return buffer.toString('utf8', 0, length);
  } finally {
    closeSync(fd);
  }
}

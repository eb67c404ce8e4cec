/**
 * Reads files of a container's root as the container would see them: symbolic links, absolute ones too, are
 * resolved by the kernel as if that directory were `/` (openat2(2), RESOLVE_IN_ROOT), so none leads out.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { isSkiffError } from '#foundation/base/errors.ts';
import { check, declare } from './libc.ts';

const syscallOpenat2 = declare(
  'long syscall(long number, long dirfd, const char *path, void *how, long size)',
);
const SYS_openat2 = 437;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;

/**
 * Opens `path` inside `root`. The caller closes the descriptor.
 *
 * @param flags of open(2); O_PATH unless told.
 * @throws SkiffError NOT_FOUND and its like.
 */
export function openInRoot(root: string, path: string, flags: number = O_PATH): number {
  const directory = openSync(root, O_PATH | O_CLOEXEC);
  try {
    const how = new BigUint64Array([
      BigInt(flags | O_CLOEXEC),
      0n,
      BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS),
    ]);
    const memory = new Uint8Array(how.buffer);
    return check(
      syscallOpenat2(SYS_openat2, directory, path, memory, memory.length),
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

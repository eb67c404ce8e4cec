/**
 * Memory as a file without a name (memfd_create(2)): it goes when the last descriptor and the last mapping go, so no
 * crash leaves any behind. Sealed, nobody can change it any more, not even who may open it for writing.
 */
import { closeSync, fstatSync, ftruncateSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { check, declare } from './libc.ts';

const memfdCreate = declare('int memfd_create(const char *name, unsigned int flags)');
const fcntl = declare('int fcntl(int fd, int command, int argument)');
const lseek = declare('long lseek(int fd, long offset, int whence)');
const sendfile = declare('long sendfile(int to, int from, void *offset, size_t count)');

/** MFD_CLOEXEC | MFD_ALLOW_SEALING. */
const createFlags = 1 | 2;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE: fcntl(2). */
const allSeals = 1 | 2 | 4 | 8;
const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Bytes that are copied before other work of this process gets a turn: some 2 ms. */
const turnBytes = 8 * 1024 * 1024;

/** Makes memory of `bytes`, all zero and not yet allocated. The caller closes the descriptor. @throws SkiffError. */
export function createMemoryFile(name: string, bytes: number): number {
  const fd = check(memfdCreate(name, createFlags), `Cannot make memory for ${name}`);
  try {
    ftruncateSync(fd, bytes);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Forbids every change from now on. @throws SkiffError (errno EBUSY) while it is mapped for writing. */
export function sealMemoryFile(fd: number): void {
  check(fcntl(fd, F_ADD_SEALS, allSeals), 'Cannot seal memory');
}

/** Bytes of a memory file that are allocated. */
export function allocatedBytes(fd: number): number {
  return fstatSync(fd).blocks * 512;
}

/**
 * Copies what is allocated of one memory file into another, an empty one of the same size.
 *
 * @throws SkiffError RESOURCE_EXHAUSTED without memory; the signal's reason.
 */
export async function copyMemoryFile(from: number, to: number, signal?: AbortSignal): Promise<void> {
  const { size } = fstatSync(from);
  for (let at = 0; at < size; ) {
    const start = lseek(from, at, SEEK_DATA);
    if (start < 0) return; // ENXIO: nothing but a hole up to the end.
    const end = check(lseek(from, start, SEEK_HOLE), 'Cannot copy memory');
    for (at = start; at < end; ) {
      signal?.throwIfAborted();
      at += copyPart(from, to, at, Math.min(end - at, turnBytes));
      await nextTurn();
    }
  }
}

function copyPart(from: number, to: number, at: number, count: number): number {
  check(lseek(to, at, SEEK_SET), 'Cannot copy memory');
  const offset = Buffer.alloc(8);
  offset.writeBigInt64LE(BigInt(at));
  return check(sendfile(to, from, offset, count), 'Cannot copy memory');
}

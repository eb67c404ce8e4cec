/**
 * Memory as a file without a name (memfd_create(2)): it goes when the last descriptor and the last mapping go, so no
 * crash leaves any behind. Sealed, nobody can change it any more, not even who may open it for writing.
 */
import { closeSync, ftruncateSync } from 'node:fs';
import { check, declare } from './libc.ts';

const memfdCreate = declare('int memfd_create(const char *name, unsigned int flags)');
const fcntl = declare('int fcntl(int fd, int command, int argument)');

/** MFD_CLOEXEC | MFD_ALLOW_SEALING. */
const createFlags = 1 | 2;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE: fcntl(2). */
const allSeals = 1 | 2 | 4 | 8;

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

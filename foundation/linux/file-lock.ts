/** Locks that the kernel frees when the process ends, however it ends: flock(2). */
import { closeSync, openSync } from 'node:fs';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { check, declare } from './libc.ts';

const flock = declare('int flock(int fd, int operation)');
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Takes the lock of `path`, made if absent, until the returned object is disposed or the process ends.
 *
 * @param what who holds such a lock, for the message: `another Skiff node`.
 * @throws SkiffError ALREADY_EXISTS if another process holds it.
 */
export function lockFile(path: string, what: string): Disposable {
  const fd = openSync(path, 'a', 0o600);
  try {
    check(flock(fd, LOCK_EX | LOCK_NB), `Cannot lock ${path}`);
  } catch (error) {
    closeSync(fd);
    if (!isSkiffError(error) || error.errno !== 'EAGAIN') throw error;
    throw new SkiffError('ALREADY_EXISTS', `${what} runs already (it holds ${path})`, { cause: error });
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** Second descriptors of open files: fcntl(2). */
import { check, declare } from './libc.ts';

const fcntl = declare('int fcntl(int fd, int command, int argument)');

const F_DUPFD_CLOEXEC = 1030;

/**
 * Another descriptor of the same open file, closed on exec; the caller closes it.
 *
 * @param lowest the smallest number that it may have.
 * @throws SkiffError RESOURCE_EXHAUSTED that begins with `failure`.
 */
export function duplicate(fd: number, lowest = 0, failure = `Cannot duplicate descriptor ${fd}`): number {
  return check(fcntl(fd, F_DUPFD_CLOEXEC, lowest), failure);
}

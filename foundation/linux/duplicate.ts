/** Second descriptors of open files: fcntl(2). */
import { check, declare } from './libc.ts';

const fcntl = declare('int fcntl(int fd, int command, int argument)');

const F_DUPFD_CLOEXEC = 1030;

/** Another descriptor of the same open file, closed on exec; the caller closes it. @throws SkiffError RESOURCE_EXHAUSTED. */
export function duplicate(fd: number): number {
  return check(fcntl(fd, F_DUPFD_CLOEXEC, 0), `Cannot duplicate descriptor ${fd}`);
}

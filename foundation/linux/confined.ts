/** Words to put before a command line, so that the program begins where it belongs. */
import { join } from 'node:path';
import { cgroupDirectories, cgroupLayout } from './cgroups.ts';

/**
 * A command that joins a cgroup in every hierarchy, forbids core files, and becomes the program that follows. A
 * process that moves itself is there before it has started anything, and its starter waits for nothing.
 *
 * @param cgroup its path, `/kubepods/pod1`; left out for none. If it cannot be joined the program is not started, and
 *   the exit code is 97.
 */
export function confinedCommand(cgroup?: string): string[] {
  const groups = cgroup === undefined ? [] : cgroupDirectories(cgroupLayout(), cgroup);
  const members = groups.map((directory) => join(directory, 'cgroup.procs'));
  const script =
    'ulimit -c 0; while [ "$1" != -- ]; do echo $$ >"$1" || exit 97; shift; done; shift; exec "$@"';
  return ['/bin/sh', '-c', script, 'sh', ...members, '--'];
}

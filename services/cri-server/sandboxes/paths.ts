/** Where the things of one sandbox are. */
import { join } from 'node:path';

/** The places of one sandbox; all end with a reboot. */
export interface SandboxPaths {
  /** Directory of the files below. */
  directory: string;
  hostname: string;
  hosts: string;
  resolvConf: string;
  /** Mount point of /dev/shm. */
  shm: string;
  /** Directory of the pinned namespaces, each named by its kind. */
  namespaces: string;
}

/** The directory of all sandboxes below the run directory. */
export function sandboxesDirectory(run: string): string {
  return join(run, 'sandboxes');
}

/** The places of a sandbox below the run directory. */
export function sandboxPaths(run: string, id: string): SandboxPaths {
  const directory = join(sandboxesDirectory(run), id);
  return {
    directory,
    hostname: join(directory, 'hostname'),
    hosts: join(directory, 'hosts'),
    resolvConf: join(directory, 'resolv.conf'),
    shm: join(directory, 'shm'),
    namespaces: join(directory, 'ns'),
  };
}

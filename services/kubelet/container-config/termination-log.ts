/** The file a container may write its last words to; the host keeps it outside the container's root. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PodPaths } from '../volumes/pod-paths.ts';

/** core/v1's default terminationMessagePath. */
export const defaultTerminationPath = '/dev/termination-log';

/**
 * Makes `pods/UID/containers/NAME/<8 hex digits>`, writable by every user that a container may have.
 *
 * @returns its path.
 */
export function makeTerminationLog(paths: PodPaths, container: string): string {
  const directory = join(paths.containers, container);
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  const path = join(directory, randomBytes(4).toString('hex'));
  writeFileSync(path, '', { flag: 'wx' });
  chmodSync(path, 0o666); // Whatever the umask.
  return path;
}

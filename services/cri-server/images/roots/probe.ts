/** Finds out whether overlayfs works in a directory: not on every file system, and not for everybody. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isSkiffError } from '#foundation/base/errors.ts';
import { mount, unmount } from '#foundation/linux/mount.ts';

/** Tries it. @param directory where the layers and the upper directories are to be. */
export function overlayWorks(directory: string): boolean {
  const place = mkdtempSync(join(directory, 'probe-'));
  const [lower, upper, work, merged] = ['l', 'u', 'w', 'm'].map((name) => join(place, name));
  try {
    for (const path of [lower, upper, work, merged]) mkdirSync(path ?? '');
    const data = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    mount({ source: 'overlay', target: merged ?? '', type: 'overlay', data });
    unmount(merged ?? '', { lazy: true });
    return true;
  } catch (error) {
    if (isSkiffError(error)) return false;
    throw error;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

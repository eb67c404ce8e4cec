/**
 * Finds out whether overlayfs works in a directory, also over layers with mapped owners: not on every file system,
 * and not for everybody.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isSkiffError } from '#foundation/base/errors.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { mountRoot } from './mount-root.ts';

/**
 * Tries it.
 *
 * @param directory where the layers and the upper directories are to be.
 * @param userNamespace tries it with the owners that this user namespace maps to.
 */
export function overlayWorks(directory: string, userNamespace?: string): boolean {
  const place = mkdtempSync(join(directory, 'probe-'));
  const at = (name: string) => join(place, name);
  const paths = {
    directory: place,
    upper: at('u'),
    work: at('w'),
    top: at('t'),
    mapped: at('i'),
    merged: at('m'),
  };
  try {
    for (const path of ['l', 'l/1', 'u', 'w']) mkdirSync(at(path));
    mountRoot({
      paths,
      lower: [at('l/1')],
      readOnly: false,
      ...(userNamespace === undefined ? {} : { userNamespace }),
    });
    return true;
  } catch (error) {
    if (isSkiffError(error)) return false;
    throw error;
  } finally {
    unmountTree(place);
    rmSync(place, { recursive: true, force: true });
  }
}

/** The files of an archive that was laid out in a directory. */
import { realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Descriptor } from '#contracts/oci/image.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** An image of an archive. */
export interface ArchivedImage {
  descriptor: Descriptor;
  /** The manifest or index. */
  bytes: Uint8Array;
  /** Names as the archive has them. */
  names: string[];
  /** Where a blob lies. @throws SkiffError NOT_FOUND if it is not in the archive. */
  pathOf(digest: string): string;
}

/**
 * A file of an archive by name.
 *
 * @throws SkiffError NOT_FOUND if it is missing, INVALID_ARGUMENT if a link leads out of the archive.
 */
export function insideOf(root: string, name: string): string {
  let path: string;
  try {
    path = realpathSync(join(root, name));
  } catch (error) {
    throw new SkiffError('NOT_FOUND', `"${name}" is not in the archive`, { cause: error });
  }
  if (!path.startsWith(`${realpathSync(root)}/`) || !statSync(path).isFile())
    throw new SkiffError('INVALID_ARGUMENT', `"${name}" is no file of the archive`);
  return path;
}

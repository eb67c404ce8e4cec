/**
 * Some builders leave out the entries of folders that a layer only passes through (`tmp/x` without `tmp/`).
 * Overlayfs shows a folder as its topmost layer has it, so such folders are given the owner, mode, time and
 * attributes that the nearest layer below has for them.
 */
import { closeSync } from 'node:fs';
import { isSkiffError } from '#foundation/base/errors.ts';
import {
  chmodAt,
  chownAt,
  FileType,
  openDirectoryInRoot,
  openRoot,
  setTimesAt,
  statAt,
} from '#foundation/linux/at.ts';
import { listXattrsAt, setXattrAt } from '#foundation/linux/xattr.ts';
import { isMark } from './whiteout.ts';

/** Which folders of which layer. */
export interface AdoptJob {
  /** The layer's directory. */
  layer: string;
  /** Its folders without an entry, as binary strings; the root is the empty string. */
  folders: string[];
  /** The directories of the layers below, nearest first. */
  below: string[];
}

/** Does the job. A folder that no layer below has keeps what it was made with. */
export function adopt(job: AdoptJob): void {
  using layer = openRoot(job.layer);
  for (const path of job.folders) {
    const own = openFolder(layer.fd, path);
    if (own === undefined) continue;
    try {
      for (const directory of job.below) if (copyFrom(directory, path, own)) break;
    } finally {
      closeSync(own);
    }
  }
}

/** @returns whether the search ends here: the layer has something at the path. */
function copyFrom(directory: string, path: string, target: number): boolean {
  using below = openRoot(directory);
  const source = openFolder(below.fd, path);
  // No folder there: if it is something else, what lies still deeper is hidden by that.
  if (source === undefined) return path !== '' && statAt(below.fd, path) !== undefined;
  try {
    const stat = statAt(source, '.');
    if (stat === undefined || (stat.mode & FileType.mask) !== FileType.directory) return false;
    chownAt(target, '.', stat.uid, stat.gid);
    chmodAt(target, '.', stat.mode & 0o7777);
    for (const [name, value] of listXattrsAt(source, '.'))
      if (!isMark(name)) setXattrAt(target, '.', name, value);
    setTimesAt(target, '.', stat.mtime);
    return true;
  } finally {
    closeSync(source);
  }
}

function openFolder(root: number, path: string): number | undefined {
  try {
    return openDirectoryInRoot(root, path, { links: false });
  } catch (error) {
    if (isSkiffError(error) && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error.errno ?? '')) return undefined;
    throw error;
  }
}

/**
 * Puts layers together by copying, where overlayfs cannot be used: each layer over the ones below it, with
 * its whiteouts and opaque folders taken as overlayfs takes them. Runs in a worker thread.
 */
import { closeSync, constants, copyFileSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import {
  chmodAt,
  chownAt,
  FileType,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  openDirectoryInRoot,
  openRoot,
  type StatAt,
  setTimesAt,
  statAt,
  symlinkAt,
} from '#foundation/linux/at.ts';
import { listXattrsAt, setXattrAt } from '#foundation/linux/xattr.ts';
import { removeTreeAt } from '../unpack/remove-tree.ts';
import { isMark, isOpaque, isWhiteout } from '../unpack/whiteout.ts';

/** What to copy where. */
export interface CopyJob {
  /** The directories of the layers, bottom first. */
  layers: string[];
  /** The directory to make. */
  target: string;
}

/** One layer on its way into the target. */
interface Copying {
  /** The target's root. */
  root: number;
  /** Where the first name of a file with several went, by inode: paths from the target's root. */
  linked: Map<bigint, string>;
}

/** Does the job. */
export function copyLayers(job: CopyJob): void {
  mkdirSync(job.target);
  using target = openRoot(job.target);
  for (const path of job.layers) {
    using layer = openRoot(path);
    copyFolder({ root: target.fd, linked: new Map() }, layer.fd, target.fd, '');
    // A layer without an entry for its root has the epoch for its time, and says nothing of it.
    const stat = statAt(layer.fd, '.');
    if (stat !== undefined && stat.mtime !== 0n) setFacts(layer.fd, '.', target.fd, '.', stat);
  }
}

function copyFolder(copying: Copying, from: number, to: number, path: string): void {
  for (const name of readdirSync(`/proc/self/fd/${from}`, { encoding: 'latin1' }))
    copyEntry(copying, from, to, name, path === '' ? name : `${path}/${name}`);
}

function copyEntry(copying: Copying, from: number, to: number, name: string, path: string): void {
  const stat = statAt(from, name);
  if (stat === undefined) return;
  const type = stat.mode & FileType.mask;
  if (type !== FileType.directory) removeTreeAt(to, name);
  if (isWhiteout(from, name, stat)) return;
  if (type === FileType.directory) {
    copyDirectory(copying, from, to, name, path);
    setFacts(from, name, to, name, stat);
    return;
  }
  const first = copying.linked.get(stat.inode);
  if (first !== undefined) {
    linkAt(copying.root, first, to, name);
    return;
  }
  if (stat.links > 1) copying.linked.set(stat.inode, path);
  copyOne(from, to, name, stat);
  setFacts(from, name, to, name, stat);
}

function copyDirectory(copying: Copying, from: number, to: number, name: string, path: string): void {
  const there = statAt(to, name);
  const isFolder = there !== undefined && (there.mode & FileType.mask) === FileType.directory;
  if (!isFolder || isOpaque(from, name)) {
    removeTreeAt(to, name);
    makeDirectoryAt(to, name);
  }
  const source = openDirectoryInRoot(from, name, { links: false });
  const target = openDirectoryInRoot(to, name, { links: false });
  try {
    copyFolder(copying, source, target, path);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}

function copyOne(from: number, to: number, name: string, stat: StatAt): void {
  const type = stat.mode & FileType.mask;
  const source = pathAt(from, name);
  // A file system that can will share the blocks instead of copying them.
  if (type === FileType.file) copyFileSync(source, pathAt(to, name), constants.COPYFILE_FICLONE);
  else if (type === FileType.link) symlinkAt(readlinkSync(source, { encoding: 'latin1' }), to, name);
  else makeNodeAt(to, name, type | 0o600, stat.device);
}

function setFacts(from: number, name: string, to: number, as: string, stat: StatAt): void {
  chownAt(to, as, stat.uid, stat.gid);
  if ((stat.mode & FileType.mask) !== FileType.link) chmodAt(to, as, stat.mode & 0o7777);
  for (const [attribute, value] of listXattrsAt(from, name))
    if (!isMark(attribute)) setXattrAt(to, as, attribute, value);
  setTimesAt(to, as, stat.mtime);
}

function pathAt(folder: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${folder}/${name}`, 'latin1');
}

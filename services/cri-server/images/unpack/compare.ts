/** Compares two trees: everything that a layer can say of a file. */
import { closeSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import {
  FileType,
  openDirectoryInRoot,
  openFileAt,
  openRoot,
  printableName,
  type StatAt,
  statAt,
} from '#foundation/linux/at.ts';
import { listXattrsAt } from '#foundation/linux/xattr.ts';

/** The two directories. */
export interface CompareJob {
  left: string;
  right: string;
}

const left = Buffer.allocUnsafe(256 * 1024);
const right = Buffer.allocUnsafe(256 * 1024);

/** @returns the path of the first difference; undefined if there is none. */
export function compareTrees(job: CompareJob): string | undefined {
  using a = openRoot(job.left);
  using b = openRoot(job.right);
  return compareEntry(a.fd, b.fd, '.', '');
}

function compareEntry(a: number, b: number, name: string, path: string): string | undefined {
  const [one, two] = [statAt(a, name), statAt(b, name)];
  if (one === undefined || two === undefined || !sameFacts(one, two) || !sameXattrs(a, b, name))
    return path || '/';
  const type = one.mode & FileType.mask;
  if (type === FileType.file) return sameContent(a, b, name) ? undefined : path;
  if (type === FileType.link) return target(a, name) === target(b, name) ? undefined : path;
  return type === FileType.directory ? compareFolders(a, b, name, path) : undefined;
}

function compareFolders(a: number, b: number, name: string, path: string): string | undefined {
  const one = openDirectoryInRoot(a, name, { links: false });
  const two = openDirectoryInRoot(b, name, { links: false });
  try {
    const [children, others] = [namesIn(one), namesIn(two)];
    if (children.length !== others.length) return path || '/';
    for (const [at, child] of children.entries()) {
      const full = path === '' ? printableName(child) : `${path}/${printableName(child)}`;
      if (others[at] !== child) return full;
      const different = compareEntry(one, two, child, full);
      if (different !== undefined) return different;
    }
    return undefined;
  } finally {
    closeSync(one);
    closeSync(two);
  }
}

function namesIn(folder: number): string[] {
  return readdirSync(`/proc/self/fd/${folder}`, { encoding: 'latin1' }).sort();
}

function target(folder: number, name: string): string {
  const path = Buffer.from(`/proc/self/fd/${folder}/${name}`, 'latin1');
  return readlinkSync(path, { encoding: 'latin1' });
}

function sameFacts(one: StatAt, two: StatAt): boolean {
  const isDirectory = (one.mode & FileType.mask) === FileType.directory;
  return (
    one.mode === two.mode &&
    one.uid === two.uid &&
    one.gid === two.gid &&
    one.mtime === two.mtime &&
    one.device.major === two.device.major &&
    one.device.minor === two.device.minor &&
    (isDirectory || (one.size === two.size && one.links === two.links))
  );
}

function sameXattrs(a: number, b: number, name: string): boolean {
  const [one, two] = [listXattrsAt(a, name), listXattrsAt(b, name)];
  return one.size === two.size && [...one].every(([key, value]) => two.get(key)?.equals(value) === true);
}

function sameContent(a: number, b: number, name: string): boolean {
  const one = openFileAt(a, name);
  const two = openFileAt(b, name);
  try {
    for (;;) {
      const count = readSync(one, left, 0, left.length, null);
      if (readSync(two, right, 0, right.length, null) !== count) return false;
      if (count === 0) return true;
      if (left.compare(right, 0, count, 0, count) !== 0) return false;
    }
  } finally {
    closeSync(one);
    closeSync(two);
  }
}

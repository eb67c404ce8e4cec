/** What a tree takes on disk: blocks and inodes, hard links counted once. */
import { closeSync, readdirSync } from 'node:fs';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openDirectoryInRoot, openRoot, statAt } from '#foundation/linux/at.ts';

/** Disk usage. */
export interface TreeUsage {
  bytes: number;
  inodes: number;
}

/** Walks the tree at `path`; what vanishes meanwhile is left out, an absent tree is empty. */
export function treeUsage(path: string): TreeUsage {
  const usage: TreeUsage = { bytes: 0, inodes: 0 };
  const linked = new Set<bigint>();
  try {
    using root = openRoot(path);
    add(root.fd, '.', usage, linked);
    walk(root.fd, usage, linked);
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
  }
  return usage;
}

function add(folder: number, name: string, usage: TreeUsage, linked: Set<bigint>): void {
  const stat = statAt(folder, name);
  if (stat === undefined) return;
  if (stat.links > 1 && linked.has(stat.inode)) return;
  if (stat.links > 1) linked.add(stat.inode);
  usage.bytes += stat.blocks * 512;
  usage.inodes += 1;
}

function walk(folder: number, usage: TreeUsage, linked: Set<bigint>): void {
  for (const entry of readdirSync(`/proc/self/fd/${folder}`, { withFileTypes: true, encoding: 'buffer' })) {
    const name = entry.name.toString('latin1');
    add(folder, name, usage, linked);
    if (!entry.isDirectory()) continue;
    let fd: number;
    try {
      fd = openDirectoryInRoot(folder, name, { links: false });
    } catch (error) {
      if (isSkiffError(error, 'NOT_FOUND')) continue;
      throw error;
    }
    try {
      walk(fd, usage, linked);
    } finally {
      closeSync(fd);
    }
  }
}

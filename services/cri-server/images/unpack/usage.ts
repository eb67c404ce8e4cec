/** What a tree takes on disk: blocks and inodes, hard links counted once. */
import { closeSync, fstatSync, readdirSync } from 'node:fs';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openDirectoryInRoot, openRoot, statAt } from '#foundation/linux/at.ts';

/** Disk usage. */
export interface TreeUsage {
  bytes: number;
  inodes: number;
}

/** Bytes of the largest directory that counts as small: some hundred names. */
const smallDirectory = 16 * 1024;

interface Walk {
  usage: TreeUsage;
  linked: Set<bigint>;
  /** Inodes after which it is given up. */
  most: number;
}

/** Walks the tree at `path`; what vanishes meanwhile is left out, an absent tree is empty. */
export function treeUsage(path: string): TreeUsage {
  return measure(path, Number.POSITIVE_INFINITY) ?? { bytes: 0, inodes: 0 };
}

/**
 * The same for a tree that is measured sooner than a thread is asked to do it, as a container's own layer mostly is.
 *
 * @param most inodes.
 * @returns undefined if the tree has more, or a directory that is long to read.
 */
export function smallTreeUsage(path: string, most: number): TreeUsage | undefined {
  return measure(path, most);
}

function measure(path: string, most: number): TreeUsage | undefined {
  const state: Walk = { usage: { bytes: 0, inodes: 0 }, linked: new Set(), most };
  try {
    using root = openRoot(path);
    add(root.fd, '.', state);
    return walk(root.fd, state) ? state.usage : undefined;
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
    return state.usage;
  }
}

function add(folder: number, name: string, { usage, linked }: Walk): void {
  const stat = statAt(folder, name);
  if (stat === undefined) return;
  if (stat.links > 1 && linked.has(stat.inode)) return;
  if (stat.links > 1) linked.add(stat.inode);
  usage.bytes += stat.blocks * 512;
  usage.inodes += 1;
}

/** @returns whether it came to the end. */
function walk(folder: number, state: Walk): boolean {
  if (Number.isFinite(state.most) && fstatSync(folder).size > smallDirectory) return false;
  for (const entry of readdirSync(`/proc/self/fd/${folder}`, { withFileTypes: true, encoding: 'buffer' })) {
    const name = entry.name.toString('latin1');
    add(folder, name, state);
    if (state.usage.inodes > state.most) return false;
    if (!entry.isDirectory()) continue;
    let fd: number;
    try {
      fd = openDirectoryInRoot(folder, name, { links: false });
    } catch (error) {
      if (isSkiffError(error, 'NOT_FOUND')) continue;
      throw error;
    }
    try {
      if (!walk(fd, state)) return false;
    } finally {
      closeSync(fd);
    }
  }
  return true;
}

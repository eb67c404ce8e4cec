/** Describes a tree so that two can be compared: everything that an image can say of a file. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { openRoot, statAt } from '#foundation/linux/at.ts';
import { listXattrsAt } from '#foundation/linux/xattr.ts';

/** What an image can say of a file. */
export interface FileFacts {
  mtime: bigint | undefined;
  [what: string]: unknown;
}

/** Every path of the tree at `root`, sorted, with what it is. */
export function describeTree(root: string): Map<string, FileFacts> {
  const found = new Map<string, FileFacts>();
  const first = new Map<bigint, string>();
  const visit = (path: string): void => {
    const full = `${root}/${path}`;
    const stat = lstatSync(full, { bigint: true });
    using folder = openRoot(path === '' ? root : full.replace(/\/[^/]*$/, ''));
    const name = path === '' ? '.' : Buffer.from(full.replace(/^.*\//, '')).toString('latin1');
    const exact = statAt(folder.fd, name);
    const linked = stat.nlink > 1n && !stat.isDirectory() ? (first.get(stat.ino) ?? path) : undefined;
    if (linked !== undefined) first.set(stat.ino, linked);
    found.set(path, {
      mode: stat.mode.toString(8),
      owner: `${stat.uid}:${stat.gid}`,
      mtime: exact?.mtime,
      size: stat.isFile() ? stat.size : undefined,
      device: stat.isBlockDevice() || stat.isCharacterDevice() ? exact?.device : undefined,
      target: stat.isSymbolicLink() ? readlinkSync(full) : undefined,
      content: stat.isFile() ? createHash('sha256').update(readFileSync(full)).digest('hex') : undefined,
      xattrs: [...listXattrsAt(folder.fd, name)]
        .filter(([key]) => !key.startsWith('trusted.overlay.'))
        .map(([key, value]) => `${key}=${value.toString('hex')}`)
        .sort(),
      linked,
    });
    if (stat.isDirectory())
      for (const child of readdirSync(full).sort()) visit(path === '' ? child : `${path}/${child}`);
  };
  visit('');
  return found;
}

/** Copies what the root folder of a layer is like. */
import { chmodAt, chownAt, openRoot, setTimesAt, statAt } from '#foundation/linux/at.ts';
import { listXattrsAt, setXattrAt } from '#foundation/linux/xattr.ts';

/** Copies owner, mode, attributes and time of one directory to another. */
export function copyRootAttributes(from: string, to: string): void {
  using source = openRoot(from);
  using target = openRoot(to);
  const stat = statAt(source.fd, '.');
  if (stat === undefined) return;
  chownAt(target.fd, '.', stat.uid, stat.gid);
  chmodAt(target.fd, '.', stat.mode & 0o7777);
  for (const [name, value] of listXattrsAt(source.fd, '.'))
    if (!name.startsWith('trusted.overlay.')) setXattrAt(target.fd, '.', name, value);
  setTimesAt(target.fd, '.', stat.mtime);
}

/** Copies what the root folder of a layer is like. */
import { chmodAt, chownAt, openRoot, setTimesAt, statAt } from '#foundation/linux/at.ts';
import { listXattrsAt, setXattrAt } from '#foundation/linux/xattr.ts';
import type { RootIdMap } from '../../ports.ts';

/** Copies owner, mode, attributes and time of one directory to another; the owner mapped, if told. */
export function copyRootAttributes(from: string, to: string, idMap?: RootIdMap): void {
  using source = openRoot(from);
  using target = openRoot(to);
  const stat = statAt(source.fd, '.');
  if (stat === undefined) return;
  const uid = idMap === undefined ? stat.uid : mappedId(stat.uid, idMap.uid, idMap.uids);
  const gid = idMap === undefined ? stat.gid : mappedId(stat.gid, idMap.gid, idMap.gids);
  chownAt(target.fd, '.', uid, gid);
  chmodAt(target.fd, '.', stat.mode & 0o7777);
  for (const [name, value] of listXattrsAt(source.fd, '.'))
    if (!name.startsWith('trusted.overlay.')) setXattrAt(target.fd, '.', name, value);
  setTimesAt(target.fd, '.', stat.mtime);
}

/** An owner that the namespace does not have becomes its root: nobody could use the folder otherwise. */
function mappedId(id: number, first: number, count: number): number {
  return id < count ? first + id : first;
}

/**
 * The directory of all sandboxes is on tmpfs: what is in it must end with a reboot, as the namespaces and
 * mounts do, and making a file there costs microseconds. /run is one already; below another root one is mounted.
 */
import { mkdirSync, statfsSync } from 'node:fs';
import { MountFlag, mount, unmount } from '#foundation/linux/mount.ts';
import { sandboxesDirectory } from './paths.ts';

/** TMPFS_MAGIC of <linux/magic.h>. */
const tmpfsMagic = 0x01021994;

/** Makes the directory, and mounts a tmpfs on it unless it is on one. */
export function openRunDirectory(run: string): void {
  const directory = sandboxesDirectory(run);
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  if (statfsSync(directory).type === tmpfsMagic) return;
  const flags = MountFlag.noSuid | MountFlag.noDev | MountFlag.noExec;
  mount({ source: 'skiff', target: directory, type: 'tmpfs', flags, data: 'mode=711' });
}

/** Takes the tmpfs away again, when no sandbox is left. On /run there is none, which is fine. */
export function closeRunDirectory(run: string): void {
  unmount(sandboxesDirectory(run), { lazy: true });
}

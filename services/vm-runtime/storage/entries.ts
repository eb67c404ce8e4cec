/** Entries of a share: what of the host is shown in the guest, each under a name of its own. */
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import {
  listMounts,
  type MountEntry,
  MountFlag,
  mount,
  mountsBelow,
  unmount,
} from '#foundation/linux/mount.ts';
import { guestShareDirectory, type ShareEntry } from './types.ts';

/**
 * Shows something. See `Share.add`. It is put together beside the share and then bound into it whole: what is
 * changed of a mount afterwards (that it is read-only) does not reach the file server's copy of it.
 */
export function addEntry(root: string, entry: ShareEntry): string {
  const { name, source } = entry;
  const target = join(root, checkedName(name));
  const stage = `${root}.${process.pid}-${name}`;
  let isDirectory: boolean;
  try {
    isDirectory = statSync(source).isDirectory();
    makeTarget(target, isDirectory);
  } catch (error) {
    throw wrapError(error, `Cannot share "${source}" as "${name}"`);
  }
  try {
    makeTarget(stage, isDirectory);
    try {
      prepare(stage, entry);
      mount({ source: stage, target, flags: MountFlag.bind | MountFlag.recursive });
    } finally {
      detach(stage);
      clearTarget(stage);
    }
    return join(guestShareDirectory, name);
  } catch (error) {
    clearTarget(target);
    throw wrapError(error, `Cannot share "${source}" as "${name}"`);
  }
}

function prepare(target: string, { source, recursive, readOnly = false, follows }: ShareEntry): void {
  mount({ source, target, flags: MountFlag.bind | (recursive === false ? 0 : MountFlag.recursive) });
  // Nothing that happens to it reaches the source.
  const propagation = follows === true ? MountFlag.slave : MountFlag.private;
  mount({ source: 'none', target, flags: propagation | MountFlag.recursive });
  if (readOnly === false) return;
  const mounts = mountsBelow(target).filter((each) => readOnly === 'recursive' || each.target === target);
  for (const each of mounts)
    mount({
      source: 'none',
      target: each.target,
      flags: MountFlag.bind | MountFlag.remount | MountFlag.readOnly | kept(each),
    });
}

/** Flags of a mount that changing it would take away if they were not named again: mount(2). */
function kept({ options }: MountEntry): number {
  const flags = { nosuid: MountFlag.noSuid, nodev: MountFlag.noDev, noexec: MountFlag.noExec };
  return Object.entries(flags).reduce((sum, [name, flag]) => (options.includes(name) ? sum | flag : sum), 0);
}

/**
 * Cuts what is mounted at `path` off from where it came from: of a mount that is still a peer of its source (a crash
 * came between) the end of what is below would be the end of that in the source as well: mount_namespaces(7).
 */
export function detach(path: string): void {
  if (isMounted(path))
    mount({ source: 'none', target: path, flags: MountFlag.private | MountFlag.recursive });
}

/**
 * Leaves what is mounted below an entry to the file server, which has copies in a mount namespace of its own. Here they
 * would keep the places that they cover busy on the whole host, as long as the pod lives: rmdir(2), EBUSY. Of a source
 * that is followed, the server's copy goes on to follow: a mount that leaves its group hands its slaves to its master.
 */
export function leaveToServer(root: string, name: string): void {
  const target = join(root, name);
  const below = mountsBelow(target).filter((each) => each.target !== target);
  if (below.length === 0) return;
  mount({ source: 'none', target, flags: MountFlag.private | MountFlag.recursive });
  for (const each of below) unmount(each.target, { lazy: true });
}

/** Takes it away. See `Share.remove`. */
export function removeEntry(root: string, name: string): void {
  clearTarget(join(root, checkedName(name)));
}

function clearTarget(target: string): void {
  unmountAll(target);
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (found === undefined) return;
  // Never recursive: what lies here is an empty mount point of ours, or something that is not ours to remove.
  if (found.isDirectory()) rmdirSync(target);
  else unlinkSync(target);
}

/** Takes every entry away. */
export function clearEntries(root: string): void {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  for (const name of names) unmountAll(join(root, name));
  const below = listMounts().filter((entry) => entry.target.startsWith(`${root}/`));
  for (const entry of below.reverse()) unmount(entry.target, { lazy: true });
  for (const name of names) removeEntry(root, name);
}

/** Everything on top at `target`, with what is mounted below each. */
function unmountAll(target: string): void {
  for (let left = 64; left > 0 && isMounted(target); left -= 1) unmount(target, { lazy: true });
  if (isMounted(target))
    throw new SkiffError('FAILED_PRECONDITION', `Cannot take "${target}" away: it stays mounted`);
}

function isMounted(target: string): boolean {
  return listMounts().some((entry) => entry.target === target);
}

function makeTarget(target: string, isDirectory: boolean): void {
  if (isDirectory) mkdirSync(target, { mode: 0o755 });
  else closeSync(openSync(target, 'wx', 0o644));
}

/** @throws SkiffError INVALID_ARGUMENT unless it is the name of one entry. */
function checkedName(name: string): string {
  if (/^[^/\0]{1,200}$/.test(name) && name !== '.' && name !== '..') return name;
  throw new SkiffError('INVALID_ARGUMENT', `"${name}" is no name for an entry of a share`);
}

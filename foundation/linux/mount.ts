/** Mounts by system call: mount(2), umount2(2), and the table of what is mounted. */
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { check, declare, lastErrno, lastError } from './libc.ts';

const mount2 = declare(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const umount2 = declare('int umount2(const char *target, int flags)');

/** Flags of mount(2), from <linux/mount.h>. */
export const MountFlag = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  remount: 32,
  bind: 4096,
  recursive: 16384,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
} as const;

/** umount2(2)'s MNT_DETACH: gone from the tree now, freed when no longer in use. */
const MNT_DETACH = 2;
/** umount2(2)'s UMOUNT_NOFOLLOW: never follow a symbolic link at the target. */
const UMOUNT_NOFOLLOW = 8;

/** What to mount where. */
export interface MountRequest {
  /** A device, directory, or any word for file systems without one. */
  source: string;
  /** An existing directory, or file for a bind mount of one. */
  target: string;
  /** `overlay`, `tmpfs`, ...; left out for bind mounts and propagation changes. */
  type?: string;
  /** Bits of `MountFlag`. */
  flags?: number;
  /** File-system options: `lowerdir=...`; at most one page. */
  data?: string;
}

/**
 * mount(2).
 *
 * @throws SkiffError with the errno's code and name.
 */
export function mount({ source, target, type, flags = 0, data }: MountRequest): void {
  check(
    mount2(source, target, type ?? null, flags, data ?? null),
    `Cannot mount ${type ?? 'bind'} "${source}" on "${target}"`,
  );
}

/** Bind-mounts `source` on `target`; a read-only bind mount takes two calls, as mount(2) says. */
export function bindMount(source: string, target: string, options: { readOnly?: boolean } = {}): void {
  mount({ source, target, flags: MountFlag.bind });
  if (options.readOnly !== true) return;
  try {
    mount({ source, target, flags: MountFlag.bind | MountFlag.remount | MountFlag.readOnly });
  } catch (error) {
    unmount(target, { lazy: true });
    throw error;
  }
}

/**
 * Unmounts what is on top at `target`; nothing mounted there, or no such path, is success.
 *
 * @param options.lazy detach now even when busy (MNT_DETACH).
 */
export function unmount(target: string, options: { lazy?: boolean } = {}): void {
  takeOff(target, options.lazy === true ? MNT_DETACH : 0);
}

/**
 * Unmounts whatever is at `target`, however often, with all that is mounted in it. Unlike `unmountTree` it does not
 * see what is mounted below a directory that is no mount itself, and need not read the table of all mounts.
 */
export function unmountAll(target: string): void {
  while (takeOff(target, MNT_DETACH));
}

/** @returns whether something was mounted there. */
function takeOff(target: string, flags: number): boolean {
  if (umount2(target, UMOUNT_NOFOLLOW | flags) === 0) return true;
  const errno = lastErrno();
  if (errno === 'EINVAL' || errno === 'ENOENT') return false;
  throw lastError(`Cannot unmount "${target}"`);
}

/** One line of /proc/PID/mountinfo (proc(5)). */
export interface MountEntry {
  /** The device, `8:1`. */
  device: string;
  /** The path within the file system that is the root of this mount. */
  root: string;
  target: string;
  type: string;
  source: string;
  /** The options of this mount. */
  options: string[];
  /** The options of the file system. */
  superOptions: string[];
  /** `shared:N`, `master:N`, `unbindable`: optional fields. */
  propagation: string[];
}

/** The mounts of a process as it sees them, in the kernel's order. */
export function listMounts(pid: number | 'self' = 'self'): MountEntry[] {
  return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trimEnd().split('\n').map(parseMountLine);
}

/** The mounts at `path` or below it, deepest first, as they must be unmounted. */
export function mountsBelow(path: string): MountEntry[] {
  const table = readFileSync('/proc/self/mountinfo', 'utf8');
  const inside = linesWith(table, ` ${escape8(path)}`)
    .map(parseMountLine)
    .filter((entry) => entry.target === path || entry.target.startsWith(`${path}/`));
  return inside.reverse();
}

/**
 * The lines that hold `words`. Of a node's hundreds of mounts only those that matter are parsed: this is asked for
 * each container that goes.
 */
function linesWith(table: string, words: string): string[] {
  const lines: string[] = [];
  for (let at = table.indexOf(words); at !== -1; ) {
    const end = table.indexOf('\n', at);
    const stop = end === -1 ? table.length : end;
    lines.push(table.slice(table.lastIndexOf('\n', at) + 1, stop));
    at = table.indexOf(words, stop);
  }
  return lines;
}

/** Unmounts everything at `path` and below it. */
export function unmountTree(path: string): void {
  for (const entry of mountsBelow(path)) unmount(entry.target, { lazy: true });
}

/**
 * Makes what is mounted below a directory visible in namespaces that take mounts from here
 * (mount_namespaces(7), "shared subtrees"). A directory within a private mount is bound onto itself for it;
 * not if mounts below it are in use, which that would hide.
 *
 * @returns whether it is bound onto itself, now or by an earlier call: then `unmount` takes that back.
 */
export function shareMount(path: string): boolean {
  const entries = listMounts();
  const entry = mountAround(entries, path);
  if (entry.propagation.some((each) => each.startsWith('shared:'))) return isOnItself(entries, entry);
  const bound = entry.target !== path;
  if (bound && mountsBelow(path).length > 0) return false;
  if (bound) bindMount(path, path);
  mount({ source: 'none', target: path, flags: MountFlag.shared | MountFlag.recursive });
  return bound || isOnItself(entries, entry);
}

/** The mount that a path is in; of several on one place the last is on top. */
function mountAround(entries: readonly MountEntry[], path: string): MountEntry {
  const around = entries.filter(
    ({ target }) => path === target || path.startsWith(`${target.replace(/\/$/, '')}/`),
  );
  const longest = Math.max(...around.map(({ target }) => target.length));
  return around.findLast(({ target }) => target.length === longest) ?? parseMountLine('');
}

/** Whether a mount shows what would be at its place without it. */
function isOnItself(entries: readonly MountEntry[], entry: MountEntry): boolean {
  const outer = mountAround(
    entries.filter(({ target }) => target !== entry.target),
    entry.target,
  );
  const inner = join(outer.root, relative(outer.target, entry.target));
  return entry.device === outer.device && entry.root === inner;
}

/** Parses one line of mountinfo; exported for the tests. */
export function parseMountLine(line: string): MountEntry {
  const [left = '', right = ''] = line.split(' - ');
  const [, , device = '', root = '', target = '', options = '', ...propagation] = left.split(' ');
  const [type = '', source = '', superOptions = ''] = right.split(' ');
  return {
    device,
    root: unescape8(root),
    target: unescape8(target),
    type,
    source: unescape8(source),
    options: options.split(','),
    superOptions: superOptions.split(','),
    propagation,
  };
}

/** As the kernel writes a path: show_mountinfo() in fs/proc_namespace.c. */
function escape8(path: string): string {
  return path.replace(/[ \t\n\\]/g, (each) => `\\${each.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

/** The kernel writes space, tab, newline and backslash in octal. */
function unescape8(text: string): string {
  return text.includes('\\')
    ? text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    : text;
}

/**
 * File calls relative to an open directory: openat2(2), mkdirat(2) and their like. Code that unpacks trees
 * of strangers uses these, since a path that is resolved from a directory descriptor with RESOLVE_IN_ROOT
 * cannot leave that directory, whatever links lie in it.
 *
 * Names are binary strings: one character for each byte (latin1), because file names are bytes and need
 * not be UTF-8.
 */
import { closeSync } from 'node:fs';
import { check, declare, lastError } from './libc.ts';
import { O_CLOEXEC, O_PATH, openat2, Resolve } from './openat2.ts';

const mkdirat = declare('int mkdirat(int directory, void *path, unsigned int mode)');
const symlinkat = declare('int symlinkat(void *target, int directory, void *path)');
const linkat = declare('int linkat(int fromDirectory, void *from, int toDirectory, void *to, int flags)');
const mknodat = declare('int mknodat(int directory, void *path, unsigned int mode, unsigned long device)');
const unlinkat = declare('int unlinkat(int directory, void *path, int flags)');
const fchownat = declare(
  'int fchownat(int directory, void *path, unsigned int user, unsigned int group, int flags)',
);
const fchmodat = declare('int fchmodat(int directory, void *path, unsigned int mode, int flags)');
const utimensat = declare('int utimensat(int directory, void *path, void *times, int flags)');
const futimens = declare('int futimens(int fd, void *times)');
const statx = declare('int statx(int directory, void *path, int flags, unsigned int mask, void *buffer)');

const O_WRONLY = 0o1;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
/** These three differ on arm64: there O_DIRECTORY is 0o40000 and O_NOFOLLOW is 0o100000. */
const [O_DIRECTORY, O_NOFOLLOW] = process.arch === 'arm64' ? [0o40000, 0o100000] : [0o200000, 0o400000];
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
/** STATX_BASIC_STATS: what stat(2) tells. */
const STATX_BASIC_STATS = 0x7ff;

/** Bits of a file's mode that say its type, and the types: inode(7). */
export const FileType = {
  mask: 0o170000,
  socket: 0o140000,
  link: 0o120000,
  file: 0o100000,
  block: 0o060000,
  directory: 0o040000,
  character: 0o020000,
  fifo: 0o010000,
} as const;

/** PATH_MAX of <linux/limits.h>: bytes of a path with its NUL. */
export const maxPathBytes = 4096;

// One call runs at a time on a thread, and each thread loads this module anew: so the memory can be shared.
const pathMemory = Buffer.alloc(maxPathBytes + 1);
const otherPathMemory = Buffer.alloc(maxPathBytes + 1);
const timesMemory = Buffer.alloc(32);
const statMemory = Buffer.alloc(256);

function cString(text: string, memory = pathMemory): Buffer {
  // A longer name is cut beyond PATH_MAX, so that the kernel answers ENAMETOOLONG.
  const length = memory.write(text, 0, maxPathBytes, 'latin1');
  memory[length] = 0;
  return memory;
}

/** A binary name as people read it. */
export function printableName(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}

function open(directory: number, path: string, flags: number, resolve = 0, mode = 0): number {
  return check(
    openat2(directory, cString(path), flags, resolve, mode),
    `Cannot open "${printableName(path)}"`,
  );
}

/**
 * Opens a directory below `root` for use with the other calls (O_PATH). Links on the way are followed as if
 * `root` were the root of the file system, so that none leads out of it.
 *
 * @param options.links false refuses any link on the way (ELOOP).
 * @param options.mounts false refuses what is mounted on the way (EXDEV).
 * @throws SkiffError with errno ENOENT, ENOTDIR, ELOOP, EXDEV.
 */
export function openDirectoryInRoot(
  root: number,
  path: string,
  options: { links?: boolean; mounts?: boolean } = {},
): number {
  const links = options.links === false ? Resolve.noSymlinks : 0;
  const mounts = options.mounts === false ? Resolve.noCrossMount : 0;
  const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  return open(root, path === '' ? '.' : path, flags, Resolve.inRoot | Resolve.noMagicLinks | links | mounts);
}

/** Makes a new file and opens it for writing. @throws SkiffError EEXIST if there is anything of that name. */
export function createFileAt(directory: number, name: string): number {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  return open(directory, name, flags, 0, 0o600);
}

/** Opens a file for reading; a link of that name is not followed (ELOOP). */
export function openFileAt(directory: number, name: string): number {
  return open(directory, name, O_NOFOLLOW | O_CLOEXEC, Resolve.noSymlinks);
}

/** mkdirat(2). */
export function makeDirectoryAt(directory: number, name: string, mode = 0o755): void {
  check(mkdirat(directory, cString(name), mode), `Cannot make the directory "${printableName(name)}"`);
}

/** symlinkat(2); the target is not looked at. */
export function symlinkAt(target: string, directory: number, name: string): void {
  check(
    symlinkat(cString(target, otherPathMemory), directory, cString(name)),
    `Cannot make the link "${printableName(name)}"`,
  );
}

/** linkat(2): a second name for a file; a symbolic link gets a second name itself. */
export function linkAt(fromDirectory: number, from: string, toDirectory: number, to: string): void {
  check(
    linkat(fromDirectory, cString(from, otherPathMemory), toDirectory, cString(to), 0),
    `Cannot link "${printableName(to)}" to "${printableName(from)}"`,
  );
}

/** mknodat(2): a device, FIFO or socket. */
export function makeNodeAt(
  directory: number,
  name: string,
  mode: number,
  device: { major: number; minor: number } = { major: 0, minor: 0 },
): void {
  check(
    mknodat(directory, cString(name), mode, deviceNumber(device.major, device.minor)),
    `Cannot make the special file "${printableName(name)}"`,
  );
}

/** The kernel's number of a device: makedev(3). */
export function deviceNumber(major: number, minor: number): bigint {
  const [x, y] = [BigInt(major), BigInt(minor)];
  return ((x & 0xfffff000n) << 32n) | ((x & 0xfffn) << 8n) | ((y & 0xffffff00n) << 12n) | (y & 0xffn);
}

/** unlinkat(2): removes a name, or with `directory: true` an empty directory. */
export function unlinkAt(directory: number, name: string, options: { directory?: boolean } = {}): void {
  const flags = options.directory === true ? AT_REMOVEDIR : 0;
  check(unlinkat(directory, cString(name), flags), `Cannot remove "${printableName(name)}"`);
}

/** Sets owner and group; a link gets them itself. */
export function chownAt(directory: number, name: string, user: number, group: number): void {
  check(
    fchownat(directory, cString(name), user, group, AT_SYMLINK_NOFOLLOW),
    `Cannot set the owner of "${printableName(name)}"`,
  );
}

/** Sets the permission bits. Follows a link of that name: only for names that the caller knows to be none. */
export function chmodAt(directory: number, name: string, mode: number): void {
  check(fchmodat(directory, cString(name), mode, 0), `Cannot set the mode of "${printableName(name)}"`);
}

function timesOf(nanoseconds: bigint): Buffer {
  // Floor division, since times before 1970 are negative and tv_nsec must not be.
  const billion = 1_000_000_000n;
  const rest = ((nanoseconds % billion) + billion) % billion;
  const seconds = (nanoseconds - rest) / billion;
  for (const offset of [0, 16]) {
    timesMemory.writeBigInt64LE(seconds, offset);
    timesMemory.writeBigInt64LE(rest, offset + 8);
  }
  return timesMemory;
}

/** Sets both times of a name, in nanoseconds since the epoch; a link gets them itself. */
export function setTimesAt(directory: number, name: string, nanoseconds: bigint): void {
  check(
    utimensat(directory, cString(name), timesOf(nanoseconds), AT_SYMLINK_NOFOLLOW),
    `Cannot set the times of "${printableName(name)}"`,
  );
}

/** Sets both times of an open file, in nanoseconds since the epoch. */
export function setTimes(fd: number, nanoseconds: bigint): void {
  check(futimens(fd, timesOf(nanoseconds)), 'Cannot set the times of a file');
}

/** What stat tells of a name. */
export interface StatAt {
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Blocks of 512 bytes that it takes on disk. */
  blocks: number;
  links: number;
  inode: bigint;
  /** Nanoseconds since the epoch. */
  mtime: bigint;
  device: { major: number; minor: number };
}

/** Stats a name without following a link; undefined if there is none (or its folder is no directory). */
export function statAt(directory: number, name: string): StatAt | undefined {
  const what = `Cannot look at "${printableName(name)}"`;
  const result = statx(directory, cString(name), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, statMemory);
  if (result < 0) {
    const error = lastError(what);
    if (error.errno === 'ENOENT' || error.errno === 'ENOTDIR') return undefined;
    throw error;
  }
  const seconds = statMemory.readBigInt64LE(112);
  return {
    links: statMemory.readUInt32LE(16),
    uid: statMemory.readUInt32LE(20),
    gid: statMemory.readUInt32LE(24),
    mode: statMemory.readUInt16LE(28),
    inode: statMemory.readBigUInt64LE(32),
    size: Number(statMemory.readBigUInt64LE(40)),
    blocks: Number(statMemory.readBigUInt64LE(48)),
    mtime: seconds * 1_000_000_000n + BigInt(statMemory.readUInt32LE(120)),
    device: { major: statMemory.readUInt32LE(128), minor: statMemory.readUInt32LE(132) },
  };
}

/** Opens directories of this process's own, by path, for the calls above; `using` closes it. */
export function openRoot(path: string): { fd: number } & Disposable {
  const fd = open(-100, Buffer.from(path).toString('latin1'), O_PATH | O_DIRECTORY | O_CLOEXEC);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}
